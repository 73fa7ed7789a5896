/** How parties are called on the screen. */
import type { Party } from "../core/schema.ts";
import type { Messages } from "../i18n/en.ts";

export function nameOf(party: Party, t: Messages): string {
	if (party.kind === "service") return t.services[party.id] ?? party.name;
	if (party.id === "anonymous" && (party.name === "" || party.name === "anonymous")) return t.unknownCaller;
	return party.name === "" ? (party.number ?? party.id) : party.name;
}

/** The number or id, where it says more than the name. */
export function detailOf(party: Party, t: Messages): string {
	if (party.kind === "service") return t.serviceHints[party.id] ?? "";
	const detail = party.number ?? (party.kind === "phone" ? party.id : "");
	return detail === nameOf(party, t) || detail === "anonymous" ? "" : detail;
}
