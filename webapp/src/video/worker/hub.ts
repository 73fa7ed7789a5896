/** Pictures in the Worker: the places of all rooms, on the sessions that voice uses. */

import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import type { Record } from "../../core/media/wasm/session.ts";
import { type CodecName, decodable } from "./codecs.ts";
import { Ladder } from "./ladder.ts";
import { chooseSizes, Place } from "./place.ts";
import type { Board, Wish } from "./wish.ts";

/** Numbers of our tracks begin here, far above those of voice. */
export const FIRST_KEY = 2 ** 30;
/** How often sizes are chosen and what is missing is looked for. */
const LOOK_MS = 200;
/** Places at a time: as many as rooms. */
const PLACES_MAX = 16;

/** The part of the rooms that pictures need. */
export interface Catalogs {
	extendCatalog(room: string, more: { tracks: object[]; decodes: readonly string[] } | null): void;
}

export class VideoHub implements Board {
	readonly #catalogs: Catalogs;
	readonly #places = new Set<Place>();
	readonly #wishes = new Set<Wish>();
	readonly #keys = new Map<number, Wish>();
	readonly #ladder = new Ladder();
	#sessions: MoqSession[] = [];
	#decodes: readonly CodecName[] = [];
	#nextKey = FIRST_KEY;
	#timer: ReturnType<typeof setInterval> | undefined;

	constructor(catalogs: Catalogs) {
		this.#catalogs = catalogs;
		if ("VideoDecoder" in globalThis) {
			void decodable().then((names) => {
				this.#decodes = names;
				for (const place of this.#places) place.tellCatalog();
			});
		}
	}

	get session(): MoqSession | null {
		return this.#sessions.at(-1) ?? null;
	}

	join(wish: Wish): void {
		this.#wishes.add(wish);
	}

	part(wish: Wish): void {
		this.#wishes.delete(wish);
	}

	enter(wish: Wish): number {
		const key = this.#nextKey++;
		this.#keys.set(key, wish);
		return key;
	}

	leave(key: number): void {
		this.#keys.delete(key);
	}

	/** A page's end for one place. */
	attach(port: MessagePort): void {
		if (this.#places.size >= PLACES_MAX) {
			port.close();
			return;
		}
		const hub = this;
		const place = new Place(port, {
			board: this,
			get decodes() {
				return hub.#decodes;
			},
			catalog: (room, more) => this.#catalogs.extendCatalog(room, more),
			choose: () => this.#choose(),
			closed: (place) => this.#closed(place),
		});
		this.#places.add(place);
		this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
	}

	/** A session stands: everything goes there. */
	use(session: MoqSession): void {
		this.#sessions.push(session);
		this.#startAll();
	}

	/** A session is not to be used any more. */
	drop(session: MoqSession): void {
		this.#sessions = this.#sessions.filter((other) => other !== session);
		this.#startAll();
	}

	record(record: Record): void {
		this.#keys.get(record.id)?.record(record);
	}

	/** A voice packet that begins at `ticks` came of somebody in a room. */
	heard(room: string, participant: string, ticks: number): void {
		const now = performance.now();
		for (const place of this.#places) if (place.room === room) place.heard(participant, ticks, now);
	}

	#startAll(): void {
		for (const wish of [...this.#wishes]) wish.start();
		if (this.session === null) return;
		for (const place of this.#places) place.tellCatalog();
	}

	#look(): void {
		const now = performance.now();
		for (const place of this.#places) place.look(now);
		this.#choose();
	}

	#choose(): void {
		chooseSizes(this.#places, this.#ladder, performance.now());
	}

	#closed(place: Place): void {
		this.#places.delete(place);
		if (place.room !== null) this.#catalogs.extendCatalog(place.room, null);
		if (this.#places.size > 0) return;
		clearInterval(this.#timer);
		this.#timer = undefined;
	}
}
