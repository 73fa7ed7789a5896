/** Who is there. */
import type { Presence } from "./schema.ts";
import { Store } from "./store.ts";

/** More than a list on a screen can be; the server's own limit is below. */
const PEOPLE_MAX = 10_000;

export class People {
	/** Everybody but the user, by name; those who are there first. */
	readonly list = new Store<readonly Presence[]>([]);
	/** The user, as others see it. */
	readonly self = new Store<Presence | null>(null);
	readonly #all = new Map<string, Presence>();
	#user = "";

	replace(all: readonly Presence[], user: string): void {
		this.#all.clear();
		this.#user = user;
		for (const person of all) this.#put(person);
		this.#publish();
	}

	change(person: Presence): void {
		this.#put(person);
		this.#publish();
	}

	clear(): void {
		this.#all.clear();
		this.#publish();
	}

	#put({ user, name, number, state, kind }: Presence): void {
		if (this.#all.size >= PEOPLE_MAX && !this.#all.has(user)) return;
		this.#all.set(user, { user, name, state, ...(number === undefined ? {} : { number }), ...(kind === undefined ? {} : { kind }) });
	}

	#publish(): void {
		const others = [...this.#all.values()].filter((person) => person.user !== this.#user);
		const away = (person: Presence) => (person.state === "offline" ? 1 : 0);
		this.list.set(others.sort((a, b) => away(a) - away(b) || a.name.localeCompare(b.name)));
		this.self.set(this.#all.get(this.#user) ?? null);
	}
}
