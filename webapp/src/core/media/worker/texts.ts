/** What telephones say in words: `text` tracks of rooms, on the sessions that voice uses. */

import type { PeerTrack } from "../api.ts";
import { Kind, type Record } from "../wasm/session.ts";
import type { MoqSession } from "./moq-session.ts";

/** Numbers of our tracks begin here: above those of voice, below those of pictures. */
export const TEXTS_FIRST_KEY = 2 ** 29;
/** As many as speak at a time; of others nobody reads. */
const FOLLOWED_MAX = 8;
/** Few telephones have words: who had none is asked again after this. */
const AGAIN_MS = 30_000;

/** What is used of a session. */
export type TextSession = Pick<MoqSession, "follow" | "endTrack">;

interface Followed {
	readonly room: string;
	readonly token: string;
	readonly track: PeerTrack;
	session: TextSession | null;
	key: number;
	retry: ReturnType<typeof setTimeout> | undefined;
}

export class Texts {
	readonly #tell: (room: string, participant: string, json: string) => void;
	readonly #followed = new Map<string, Followed>();
	#sessions: TextSession[] = [];
	#nextKey = TEXTS_FIRST_KEY;

	constructor(tell: (room: string, participant: string, json: string) => void) {
		this.#tell = tell;
	}

	/** Whose words of a room are wanted from now on. */
	follow(room: string, token: string, tracks: readonly PeerTrack[]): void {
		const wanted = tracks.slice(0, FOLLOWED_MAX);
		for (const [name, followed] of this.#followed) {
			const stays = followed.token === token && wanted.some(({ participant }) => participant === followed.track.participant);
			if (followed.room === room && !stays) this.#end(name, followed);
		}
		for (const track of wanted) {
			const name = `${room}/${track.participant}`;
			if (this.#followed.has(name)) continue;
			const followed: Followed = { room, token, track, session: null, key: 0, retry: undefined };
			this.#followed.set(name, followed);
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
		if (record.kind === Kind.Object) {
			this.#tell(followed.room, followed.track.participant, new TextDecoder().decode(record.bytes));
		} else if (record.kind === Kind.Refused || record.kind === Kind.Ended) {
			followed.session = null;
			followed.retry = setTimeout(() => this.#ask(followed), AGAIN_MS);
		}
	}

	#ask(followed: Followed): void {
		const session = this.#sessions.at(-1);
		if (session === undefined || followed.session !== null) return;
		clearTimeout(followed.retry);
		const { namespace } = followed.track;
		const key = this.#nextKey++;
		// What is not there now is not waited for.
		if (!session.follow(key, { namespace, name: "text", token: followed.token }, 0)) return;
		followed.key = key;
		followed.session = session;
	}

	#end(name: string, followed: Followed): void {
		clearTimeout(followed.retry);
		followed.session?.endTrack(followed.key);
		this.#followed.delete(name);
	}
}
