/** A request that is made on the newest session, again on each other one, and again after refusals. */

import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import { Track } from "../../core/media/worker/tracks.ts";
import { Kind, type Offer, type Record } from "../../core/media/wasm/session.ts";

/** REQUEST_ERROR, EXCESSIVE_LOAD: stands for refusals of our own. */
const EXCESSIVE_LOAD = 0x9;

export interface WishOwner {
	/** Makes the request; false when it is refused here. */
	ask(session: MoqSession, key: number): boolean;
	/** What the session says of it, but for what the wish sees to itself. */
	told(record: Record): void;
	/** Nothing more comes of what came before: another session has it, or none. */
	interrupted(): void;
	/** For good. */
	refused(detail: string): void;
}

/** What gives keys and passes records on. */
export interface Board {
	/** The newest session. */
	readonly session: MoqSession | null;
	/** It is told of other sessions from now on. */
	join(wish: Wish): void;
	part(wish: Wish): void;
	/** A number for it on a session. */
	enter(wish: Wish): number;
	leave(key: number): void;
}

export class Wish {
	readonly #board: Board;
	readonly #owner: WishOwner;
	readonly #track: Track;
	#session: MoqSession | null = null;
	#key = 0;
	#over = false;

	constructor(board: Board, offer: Offer, owner: WishOwner) {
		this.#board = board;
		this.#owner = owner;
		this.#track = new Track(offer);
		board.join(this);
	}

	get offer(): Offer {
		return this.#track.offer;
	}

	/** The session that has it now, and its number there. */
	get hold(): { session: MoqSession; key: number } | null {
		return this.#session === null ? null : { session: this.#session, key: this.#key };
	}

	/** Makes the request on the newest session, unless it is there. */
	start(): void {
		const { session } = this.#board;
		if (this.#over || session === this.#session) return;
		clearTimeout(this.#track.retry);
		const before = this.hold;
		this.#session = session;
		// First there, then gone here: the relay need not think that nobody has it.
		if (session !== null) {
			this.#key = this.#board.enter(this);
			if (!this.#owner.ask(session, this.#key)) this.#lost(EXCESSIVE_LOAD, -1, "refused here");
		}
		this.#end(before);
	}

	stop(): void {
		this.#over = true;
		clearTimeout(this.#track.retry);
		const before = this.hold;
		this.#session = null;
		this.#end(before);
		this.#board.part(this);
	}

	record(record: Record): void {
		switch (record.kind) {
			case Kind.Live:
				this.#track.state = "live";
				this.#owner.told(record);
				return;
			case Kind.Refused:
				this.#lost(record.code, record.at, new TextDecoder().decode(record.bytes));
				return;
			case Kind.Ended:
				this.#lost(EXCESSIVE_LOAD, -1, new TextDecoder().decode(record.bytes));
				return;
			default:
				this.#owner.told(record);
		}
	}

	/** Ends it where it was. */
	#end(before: { session: MoqSession; key: number } | null): void {
		if (before === null) return;
		this.#board.leave(before.key);
		before.session.endTrack(before.key);
		this.#owner.interrupted();
	}

	#lost(code: number, at: number, detail: string): void {
		this.#board.leave(this.#key);
		this.#session = null;
		this.#owner.interrupted();
		const wait = this.#track.refused(code, at);
		if (wait === null) this.#owner.refused(`${code.toString(16)} ${detail}`.trim());
		else this.#track.retry = setTimeout(() => this.start(), wait);
	}
}
