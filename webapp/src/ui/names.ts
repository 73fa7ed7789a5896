/** How parties are called on the screen. */
import { type Call, mediaOf } from "../core/call/state.ts";
import type { Party } from "../core/schema.ts";
import type { Messages } from "../i18n/en.ts";

export function nameOf(party: Party, t: Messages): string {
	if (party.kind === "service") return t.services[party.id] ?? party.name;
	if (party.id === "anonymous" && (party.name === "" || party.name === "anonymous")) return t.unknownCaller;
	return party.name === "" ? (party.number ?? party.id) : party.name;
}

/** Everyone at the other side of a call. */
export function namesOf(call: Call, t: Messages): string {
	const peers = mediaOf(call)?.peers ?? [];
	return peers.length > 1 ? peers.map(({ name }) => (name === "" || name === "anonymous" ? t.unknownCaller : name)).join(", ") : nameOf(call.peer, t);
}

/** The number or id, where it says more than the name. */
export function detailOf(party: Party, t: Messages): string {
	if (party.kind === "service") return t.serviceHints[party.id] ?? "";
	const detail = party.number ?? (party.kind === "phone" ? party.id : "");
	return detail === nameOf(party, t) || detail === "anonymous" ? "" : detail;
}
