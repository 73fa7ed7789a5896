/** Tracks of rooms that hold JSON, on the sessions that voice uses: what telephones say in words, and who speaks. */

import type { MediaEvents, TextTrack } from "../api.ts";
import { Kind, type Record } from "../wasm/session.ts";
import type { MoqSession } from "./moq-session.ts";

/** Numbers of our tracks begin here: above those of voice, below those of pictures. */
export const TEXTS_FIRST_KEY = 2 ** 29;
/** As many as speak at a time; of others nobody reads. */
const FOLLOWED_MAX = 8;
/** Few telephones have words: who had none is asked again after this. Who speaks every room with seats says. */
const AGAIN_MS = { text: 30_000, speakers: 2_000 };

/** What is used of a session. */
export type TextSession = Pick<MoqSession, "follow" | "endTrack">;

interface Followed {
	readonly room: string;
	readonly token: string;
	readonly track: TextTrack;
	session: TextSession | null;
	key: number;
	retry: ReturnType<typeof setTimeout> | undefined;
}

export class Texts {
	readonly #tell: (text: MediaEvents["text"]) => void;
	readonly #followed = new Map<string, Followed>();
	#sessions: TextSession[] = [];
	#nextKey = TEXTS_FIRST_KEY;

	constructor(tell: (text: MediaEvents["text"]) => void) {
		this.#tell = tell;
	}

	/** Which tracks of a room are wanted from now on. */
	follow(room: string, token: string, tracks: readonly TextTrack[]): void {
		const wanted = tracks.slice(0, FOLLOWED_MAX);
		const places = new Set(wanted.map((track) => placeOf(room, track)));
		for (const [place, followed] of this.#followed) {
			const stays = followed.token === token && places.has(place);
			if (followed.room === room && !stays) this.#end(place, followed);
		}
		for (const track of wanted) {
			const place = placeOf(room, track);
			if (this.#followed.has(place)) continue;
			const followed: Followed = { room, token, track, session: null, key: 0, retry: undefined };
			this.#followed.set(place, followed);
			this.#ask(followed);
		}
	}

	/** A session stands. */
	use(session: TextSession): void {
		this.#sessions.push(session);
		for (const followed of this.#followed.values()) this.#ask(followed);
	}

	/** A session is not to be used any more. */
	drop(session: TextSession): void {
		this.#sessions = this.#sessions.filter((other) => other !== session);
		for (const followed of this.#followed.values()) {
			if (followed.session !== session) continue;
			followed.session = null;
			this.#ask(followed);
		}
	}

	record(record: Record): void {
		const followed = [...this.#followed.values()].find(({ session, key }) => session !== null && key === record.id);
		if (followed === undefined) return;
		const { participant, name } = followed.track;
		if (record.kind === Kind.Object) {
			this.#tell({ room: followed.room, participant, name, json: new TextDecoder().decode(record.bytes) });
		} else if (record.kind === Kind.Refused || record.kind === Kind.Ended) {
			followed.session = null;
			followed.retry = setTimeout(() => this.#ask(followed), AGAIN_MS[name]);
		}
	}

	#ask(followed: Followed): void {
		const session = this.#sessions.at(-1);
		if (session === undefined || followed.session !== null) return;
		clearTimeout(followed.retry);
		const { namespace, name } = followed.track;
		const key = this.#nextKey++;
		// What is not there now is not waited for.
		if (!session.follow(key, { namespace, name, token: followed.token }, 0)) return;
		followed.key = key;
		followed.session = session;
	}

	#end(place: string, followed: Followed): void {
		clearTimeout(followed.retry);
		followed.session?.endTrack(followed.key);
		this.#followed.delete(place);
	}
}

function placeOf(room: string, { participant, name }: TextTrack): string {
	return `${room}/${participant}/${name}`;
}
