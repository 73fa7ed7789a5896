/** What carries a MoQ session: WebTransport, or what stands in for it where UDP does not get through. */

import type { Way } from "../api.ts";
import type { Pace } from "./pace.ts";

/** One open transport. Streams have the numbers of the session's machine. */
export interface Transport {
	readonly way: Way;
	/** The largest datagram; 0: there are none. */
	readonly datagramBytesMax: number;
	/** Whether the way out is so full that voice would only grow old. */
	readonly isCongested: boolean;
	/** What waits on streams of pictures, and for how long the oldest of it has, ms. */
	readonly bulkWaiting: { readonly bytes: number; readonly ms: number };
	/** How fast pictures go out; null: the transport sees to it that they do not harm the voice. */
	readonly pace: Pace | null;
	/**
	 * Opens a stream, `both`: a bidirectional one. It may be written to at once. `bulk`: for pictures; voice
	 * does not wait for it, and what waits on it for too long is the sender's to give up.
	 */
	open(id: number, both: boolean, bulk?: boolean): void;
	write(id: number, bytes: Uint8Array<ArrayBuffer>): void;
	finish(id: number): void;
	reset(id: number, code: number): void;
	/** Resets all streams of pictures: `stop` is told of each that has not ended. */
	giveUpBulk(): void;
	/** Asks the relay to stop sending on a stream. */
	stop(id: number, code: number): void;
	/** Sends a datagram; false when it was dropped at once. */
	datagram(bytes: Uint8Array<ArrayBuffer>): boolean;
	/** The transport's own estimate in ms, where there is one. */
	roundTripMs(): Promise<number | null>;
	/** Ends it; `closed` is not told. */
	close(code: number, reason: string): void;
}

/** Who is told what comes by a transport. */
export interface Arrivals {
	/** The relay opened a stream: its number. */
	acceptBi(): number;
	acceptUni(): number;
	stream(id: number, bytes: Uint8Array, fin: boolean): void;
	reset(id: number, code: number): void;
	stop(id: number, code: number): void;
	datagram(bytes: Uint8Array): void;
	/** Once, when it is over. `code`: the session termination code, or null when the transport died. */
	closed(code: number | null, detail: string): void;
}

export interface OpenOptions {
	readonly url: string;
	/** SHA-256 of acceptable certificates, 64 hex digits each; empty: the browser's own check. */
	readonly hashes: readonly string[];
	/** Gives the attempt up. */
	readonly signal: AbortSignal;
	/** Called once when it stands, before anything arrives. */
	readonly stands: (transport: Transport) => Arrivals;
}

/** Opens a transport; rejects when it does not come to stand. */
export type Open = (options: OpenOptions) => Promise<void>;

/** Half a second of voice: what waits on a stream beyond it would come too late. */
export const VOICE_BYTES_WAITING_MAX = 3_000;
/** Bytes that may wait on one stream; a relay that reads nothing is as good as gone. */
export const STREAM_BYTES_WAITING_MAX = 256 * 1024;

/** The same on a stream of pictures, which alone is given up then: more than the largest key frame. */
export const BULK_BYTES_WAITING_MAX = 2 * 1024 * 1024;
/** What waits on a stream of pictures that has ended, while newer ones go out, is too late after this. */
export const BULK_LATE_MS = 500;

/** Close reasons are for people; WebTransport allows 1024 bytes, WebSocket 123. */
export const REASON_CHARS_MAX = 100;
