/** What people type and paste into the dial field. */
import type { Party, Presence } from "./schema.ts";

/** Characters of a telephone number, as the server takes them. */
const NUMBER = /^\+?[0-9*#]{1,32}$/;
/** What people put between digits. */
const DECORATION = /[\s().\-/\u00a0\u2010-\u2015]/g;

export interface Service {
	readonly id: "echo" | "milliwatt";
}

export const SERVICES: readonly Service[] = [{ id: "echo" }, { id: "milliwatt" }];

/** Returns the number without its decoration, or the text as a user's id. */
export function normalize(typed: string): string {
	const text = typed.trim().replace(/^(tel|sip):/i, "");
	// +49 (0)30 …: the zero in brackets is not dialled after a country code.
	const dialled = text.startsWith("+") ? text.replace("(0)", "") : text;
	const bare = dialled.replace(DECORATION, "");
	return NUMBER.test(bare) ? bare : text.toLowerCase();
}

export function isNumber(text: string): boolean {
	return NUMBER.test(text);
}

/** Returns somebody of the list as the other side of a call. */
export function partyOf({ user, name, number, kind }: Presence): Party {
	return { id: user, name, kind: kind ?? "browser", ...(number === undefined ? {} : { number }) };
}

/** Returns who is meant, as far as the people list tells. */
export function partyFor(to: string, people: readonly Presence[]): Party {
	const found = people.find((person) => person.user === to || person.number === to || person.name.toLowerCase() === to);
	if (found !== undefined) {
		return partyOf(found);
	}
	if (SERVICES.some((service) => service.id === to)) return { id: to, name: to, kind: "service" };
	return isNumber(to) ? { id: to, name: to, number: to, kind: "phone" } : { id: to, name: to, kind: "browser" };
}

/** Returns people whose name, id or number holds what was typed, best match first. */
export function search(typed: string, people: readonly Presence[]): readonly Presence[] {
	const wanted = typed.trim().toLowerCase();
	if (wanted === "") return people;
	const digits = normalize(typed);
	const rank = (person: Presence): number => {
		if (person.name.toLowerCase().startsWith(wanted)) return 0;
		if (person.number?.startsWith(digits) === true) return 1;
		if (person.name.toLowerCase().includes(wanted) || person.user.includes(wanted)) return 2;
		return person.number?.includes(digits) === true ? 3 : 4;
	};
	return people
		.map((person) => ({ person, rank: rank(person) }))
		.filter(({ rank }) => rank < 4)
		.sort((a, b) => a.rank - b.rank)
		.map(({ person }) => person);
}
