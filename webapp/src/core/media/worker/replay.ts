/** What was just said, once more: which packets these are, and when each of them is due. */

import type { Location, Record } from "../wasm/session.ts";

/** As far back as anybody may ask, in seconds of sound. */
export const REPLAY_SECONDS_MAX = 60;
/** Silence in what was said is cut down to this, 1/48000 s: half a second. */
const SILENCE_MAX = 24_000;
/** How long before its time a packet goes into the decoder. */
const LEAD_MS = 60;
const TICKS_PER_MS = 48;
const TICKS_PER_SECOND = 48_000;
/** Packets of a replay: 2.5 ms each would be more than anybody sends. */
const PACKETS_MAX = REPLAY_SECONDS_MAX * 400;

/** Remembers where each second of a track's sound began. Silence that was not sent does not count. */
export class Seconds {
	#marks: Location[] = [];
	#newest: Location | null = null;
	#ticks = 0;

	/** A packet came, live. */
	heard({ group, object, ticks }: Record): void {
		const newest = this.#newest;
		if (newest !== null && isBefore({ group, object }, newest)) {
			if (group + 1n >= newest.group) return; // Late.
			this.#marks = []; // Another beginning.
		}
		this.#newest = { group, object };
		if (this.#marks.length > 0 && this.#ticks < TICKS_PER_SECOND) {
			this.#ticks += ticks;
			return;
		}
		this.#ticks = ticks;
		this.#marks.push({ group, object });
		if (this.#marks.length > REPLAY_SECONDS_MAX) this.#marks.shift();
	}

	/** Where the last seconds began and end, or as many as there are; null: nothing was heard. */
	last(seconds: number): { readonly from: Location; readonly last: Location } | null {
		const from = this.#marks.at(-seconds) ?? this.#marks[0];
		return from === undefined || this.#newest === null ? null : { from, last: this.#newest };
	}
}

function isBefore(a: Location, b: Location): boolean {
	return a.group < b.group || (a.group === b.group && a.object < b.object);
}

export interface Packet {
	readonly bytes: Uint8Array<ArrayBuffer>;
	/** Its place in what is played, 1/48000 s. */
	readonly at: number;
}

/** Gives packets of the past out in their own time. Times are ms of one clock. */
export class Pacer {
	#packets: Packet[] = [];
	/** The end of the last packet, as it was and as it is played. */
	#end: { readonly was: number; readonly at: number } | null = null;
	#given = 0;
	#startedAt: number | null = null;

	/** Takes the next packet; `at`: its place. Packets that go back in time are left out. */
	push(bytes: Uint8Array<ArrayBuffer>, at: number, ticks: number): void {
		const end = this.#end ?? { was: at, at };
		const gap = at - end.was;
		if (gap < 0 || this.#packets.length >= PACKETS_MAX) return;
		const plays = end.at + Math.min(gap, SILENCE_MAX);
		this.#packets.push({ bytes, at: plays });
		this.#end = { was: at + ticks, at: plays + ticks };
	}

	get isEmpty(): boolean {
		return this.#packets.length === 0;
	}

	/** How long all of it plays, ms. */
	get totalMs(): number {
		const first = this.#packets[0];
		return first === undefined || this.#end === null ? 0 : (this.#end.at - first.at) / TICKS_PER_MS;
	}

	start(now: number): void {
		this.#startedAt = now;
	}

	/** Returns what is due and was not given out. */
	due(now: number): readonly Packet[] {
		const [first] = this.#packets;
		if (first === undefined || this.#startedAt === null) return [];
		const until = first.at + (now - this.#startedAt + LEAD_MS) * TICKS_PER_MS;
		const from = this.#given;
		while (this.#given < this.#packets.length && (this.#packets[this.#given] as Packet).at <= until) this.#given++;
		return this.#packets.slice(from, this.#given);
	}

	/** Whether everything was given out and has had its time. */
	isOver(now: number): boolean {
		return this.#startedAt !== null && now - this.#startedAt >= this.totalMs;
	}
}
