/** The tracks of one room: what we publish there and whom we hear. */

import type { PeerTrack, RoomMedia, TrackState } from "../api.ts";
import type { Offer, Place } from "../wasm/session.ts";
import type { Decoder } from "./decoder.ts";
import type { MoqSession } from "./moq-session.ts";
import type { Seconds } from "./replay.ts";

/** How long a relay may wait for a publisher that is about to come. */
export const RENDEZVOUS_MS = 10_000;
/** Waits between refusals, ms: doubles up to the last. */
const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 5_000;
/** Refusals in a row before a track is given up: with rendezvous, an hour and a half of absence. */
const RETRIES_MAX = 400;

/** REQUEST_ERROR codes (draft-18, section 10.6) that another try may overcome. */
const TEMPORARY: readonly number[] = [0x0, 0x2, 0x6, 0x9, 0x10, 0x19];

/** Objects of a group: a second of packets (`docs/protocol.md`, section 3). */
const GROUP_OBJECTS = 50;

/** A track as one session has it. */
export interface Hold {
	readonly session: MoqSession;
	/** Its number there; no two sessions have the same one. */
	readonly key: number;
	/** The relay accepted it. */
	live: boolean;
}

/** A track that is wanted, whether the relay has it now or not. */
export class Track {
	readonly offer: Offer;
	/** On which sessions it is, the newest last: two while we move. */
	holds: Hold[] = [];
	state: TrackState = "pending";
	retry: ReturnType<typeof setTimeout> | undefined;
	#next: { group: number; object: number } | null = null;
	#refusals = 0;

	constructor(offer: Offer) {
		this.offer = offer;
	}

	on(session: MoqSession): Hold | undefined {
		return this.holds.find((hold) => hold.session === session);
	}

	/** The relay accepted it. */
	accepted(hold: Hold): void {
		hold.live = true;
		this.state = "live";
		this.#refusals = 0;
	}

	/** A session has it no more. */
	release(hold: Hold): void {
		this.holds = this.holds.filter((other) => other !== hold);
		if (this.holds.length === 0) this.#skipGroup();
		if (this.state === "live" && !this.holds.some(({ live }) => live)) this.state = "pending";
	}

	/** Returns after how many ms to try again, or null: never. `wish`: the relay's own, negative: none. */
	refused(code: number, wish: number): number | null {
		this.#refusals++;
		const lasting = !TEMPORARY.includes(code) || this.#refusals > RETRIES_MAX;
		if (lasting) {
			if (this.holds.length === 0) this.state = "refused";
			return null;
		}
		if (this.holds.length === 0) this.state = "pending";
		return Math.max(wish, Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.#refusals - 1)));
	}

	/** Where the next object goes: groups begin with the wall clock and count on whatever session sends them. */
	get next(): Place {
		this.#next ??= { group: Math.floor(Date.now() / 1000), object: 0 };
		return this.#next;
	}

	/** The next object was sent. */
	advance(): void {
		const { group, object } = this.next;
		this.#next = object + 1 < GROUP_OBJECTS ? { group, object: object + 1 } : { group: group + 1, object: 0 };
	}

	/** A group of one object was sent, or nobody knows how much of one came through. */
	advanceGroup(): void {
		this.#next = { group: this.next.group + 1, object: 0 };
	}

	/** Goes on where another track of the same name stopped. */
	follow(other: Track): void {
		this.#next = other.#next;
		this.#skipGroup();
	}

	/** After a break a group begins: by the wall clock, and above what was sent before. */
	#skipGroup(): void {
		if (this.#next === null) return;
		this.#next = { group: Math.max(this.#next.group + 1, Math.floor(Date.now() / 1000)), object: 0 };
	}
}

/** One voice on a track: a seat has another one with each participant that takes it. */
export interface Voice {
	readonly participant: string;
	/** Its number in the playout worklet, and that of its time line. */
	readonly id: number;
	readonly decoder: Decoder;
	/** It is ours, and never played. */
	readonly own: boolean;
	/** Where what came of it ends, 1/48000 s. */
	end: number;
}

/** A track that we hear: somebody's own, or a seat. */
export interface Peer {
	/** As the room names it: `p2`, or for a seat `s1`. */
	readonly participant: string;
	readonly track: Track;
	voice: Voice;
	/** The group with which the voice began. */
	since: bigint;
	/** What was counted of the voices before this one. */
	received: number;
	lost: number;
	/** Where its last seconds of sound began, and when the last of it came, ms. */
	readonly seconds: Seconds;
	heardAt: number;
}

/** A room we are in. */
export interface Room {
	media: RoomMedia;
	voice: Track;
	catalog: Track;
	readonly peers: Map<string, Peer>;
	/** How loud people are played, where that is not as they come. */
	readonly gains: Map<string, number>;
	muted: boolean;
	held: boolean;
}

/** Returns whether our voice goes into the room at all. */
export const publishes = ({ media }: Room): boolean => media.publishes !== false;

export const voiceOffer = ({ namespace, token }: RoomMedia): Offer => ({ namespace, name: "audio", token });
export const catalogOffer = ({ namespace, token }: RoomMedia): Offer => ({ namespace, name: "catalog", token });
export const peerOffer = ({ token }: RoomMedia, { namespace }: PeerTrack): Offer => ({
	namespace,
	name: "audio",
	token,
});

export const sameOffer = (a: Offer, b: Offer): boolean =>
	a.token === b.token && a.name === b.name && a.namespace.join("\0") === b.namespace.join("\0");

/** What a catalog lists besides the voice, and what its owner can show. */
export interface More {
	readonly tracks: readonly object[];
	readonly decodes: readonly string[];
}

/** MSF, version 1: what our tracks are (`docs/protocol.md`, section 3). */
export function catalog(more: More = { tracks: [], decodes: [] }): string {
	const { tracks, decodes } = more;
	return JSON.stringify({
		version: "1",
		tracks: [{ ...VOICE, ...(tracks.length > 0 && { renderGroup: 1 }) }, ...tracks],
		...(decodes.length > 0 && { decodes }),
	});
}

const VOICE = {
	name: "audio",
	packaging: "loc",
	isLive: true,
	role: "audio",
	codec: "opus",
	samplerate: 48_000,
	channelConfig: "1",
	bitrate: 32_000,
	timescale: 48_000,
};
