/** The tracks of one room: what we publish there and whom we hear. */

import type { PeerTrack, RoomMedia, TrackState } from "../api.ts";
import type { Offer } from "../wasm/session.ts";
import type { Decoder } from "./decoder.ts";

/** How long a relay may wait for a publisher that is about to come. */
export const RENDEZVOUS_MS = 10_000;
/** Waits between refusals, ms: doubles up to the last. */
const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 5_000;
/** Refusals in a row before a track is given up: with rendezvous, an hour and a half of absence. */
const RETRIES_MAX = 400;

/** REQUEST_ERROR codes (draft-18, section 10.6) that another try may overcome. */
const TEMPORARY: readonly number[] = [0x0, 0x2, 0x6, 0x9, 0x10, 0x19];

/** A track that is wanted, whether the relay has it now or not. */
export class Track {
	readonly offer: Offer;
	/** Its number in the session of now, or null. */
	key: number | null = null;
	state: TrackState = "pending";
	/** No group below this one: groups of earlier sessions. */
	groupMin = 0;
	retry: ReturnType<typeof setTimeout> | undefined;
	#refusals = 0;

	constructor(offer: Offer) {
		this.offer = offer;
	}

	/** The relay accepted it. */
	accepted(): void {
		this.state = "live";
		this.#refusals = 0;
	}

	/** Returns after how many ms to try again, or null: never. `wish`: the relay's own, negative: none. */
	refused(code: number, wish: number): number | null {
		this.key = null;
		this.#refusals++;
		if (!TEMPORARY.includes(code) || this.#refusals > RETRIES_MAX) {
			this.state = "refused";
			return null;
		}
		this.state = "pending";
		return Math.max(wish, Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.#refusals - 1)));
	}

	/** The first group when it is published now: the wall clock, and above what was sent before. */
	firstGroup(): number {
		return Math.max(this.groupMin, Math.floor(Date.now() / 1000));
	}
}

/** Somebody we hear. */
export interface Peer {
	readonly participant: string;
	/** The playout worklet's number for it. */
	readonly id: number;
	readonly track: Track;
	readonly decoder: Decoder;
}

/** A room we are in. */
export interface Room {
	media: RoomMedia;
	voice: Track;
	catalog: Track;
	readonly peers: Map<string, Peer>;
	muted: boolean;
	held: boolean;
}

export const voiceOffer = ({ namespace, token }: RoomMedia): Offer => ({ namespace, name: "audio", token });
export const catalogOffer = ({ namespace, token }: RoomMedia): Offer => ({ namespace, name: "catalog", token });
export const peerOffer = ({ token }: RoomMedia, { namespace }: PeerTrack): Offer => ({
	namespace,
	name: "audio",
	token,
});

export const sameOffer = (a: Offer, b: Offer): boolean =>
	a.token === b.token && a.name === b.name && a.namespace.join("\0") === b.namespace.join("\0");

/** MSF, version 1: what our one track is (`docs/protocol.md`, section 3). */
export const CATALOG = JSON.stringify({
	version: "1",
	tracks: [
		{
			name: "audio",
			packaging: "loc",
			isLive: true,
			role: "audio",
			codec: "opus",
			samplerate: 48_000,
			channelConfig: "1",
			bitrate: 32_000,
			timescale: 48_000,
		},
	],
});
