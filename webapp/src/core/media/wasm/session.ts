/** The session half of the WebAssembly glue (`crates/wasm`): MoQT without its I/O. */

import { type Exports as Border, INPUT_BYTES_MAX, Memory } from "./memory.ts";

interface Exports extends Border {
	session_new(tokenBytes: number, now: number): number;
	session_poll(): number;
	session_deadline(): number;
	session_timeout(now: number): number;
	session_accept_bi(): number;
	session_accept_uni(): number;
	session_stream(id: number, bytes: number, fin: number, now: number): number;
	session_reset(id: number, code: number, now: number): number;
	session_stop(id: number, code: number, now: number): number;
	session_datagram(bytes: number, now: number): number;
	session_subscribe(key: number, bytes: number, rendezvousMs: number): number;
	session_publish(key: number, bytes: number, stream: number, timestamps: number): number;
	session_watch(key: number, bytes: number, rendezvousMs: number, priority: number, timeoutMs: number): number;
	session_follow(key: number, bytes: number, rendezvousMs: number): number;
	session_ask_group(key: number, group: number): number;
	session_show(key: number, bytes: number, priority: number): number;
	session_picture(key: number, group: number, object: number, at: number, flags: number, bytes: number): number;
	session_give_up(key: number): number;
	session_end(key: number): number;
	session_voice(key: number, group: number, object: number, at: number, level: number, bytes: number): number;
	session_single(key: number, group: number, bytes: number): number;
	session_fetch(
		key: number,
		of: number,
		fromGroup: bigint,
		fromObject: bigint,
		lastGroup: bigint,
		lastObject: bigint,
	): number;
	session_ping(key: number, now: number): number;
}

/** What a record means; the numbers of `Kind` in `crates/wasm/src/session/record.rs`. */
export const Kind = {
	OpenBi: 1,
	OpenUni: 2,
	Write: 3,
	Finish: 4,
	Reset: 5,
	Stop: 6,
	Close: 7,
	Datagram: 8,
	Ready: 16,
	Live: 17,
	Refused: 18,
	Ended: 19,
	Pong: 20,
	GoAway: 21,
	Packet: 22,
	Picture: 23,
	NewGroup: 24,
	Cut: 25,
	Idle: 26,
	Object: 27,
	Incoming: 32,
	Arrived: 33,
	WasReset: 34,
	WasStopped: 35,
	DatagramArrived: 36,
	Over: 37,
} as const;

/** One thing to do or to know; the fields mean what `Kind` says. */
export interface Record {
	readonly kind: number;
	readonly id: number;
	readonly code: number;
	readonly at: number;
	readonly group: bigint;
	readonly object: bigint;
	readonly ticks: number;
	/** Of an object in a seat: the N of whose it is, `pN`; 0: it does not say. */
	readonly participant: number;
	/** A copy, or an empty array. */
	readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A track as it is asked for or offered. */
export interface Offer {
	readonly namespace: readonly string[];
	readonly name: string;
	readonly token: string;
}

/** Where an object of ours belongs. */
export interface Place {
	readonly group: number;
	readonly object: number;
}

/** A coded picture. */
export interface Picture {
	/** When it was taken, 1/48000 s. */
	readonly at: number;
	/** It needs no other picture. */
	readonly independent: boolean;
	/** What the decoder must know first; empty: nothing new. */
	readonly config: Uint8Array;
	readonly bytes: Uint8Array;
}

/** Largest picture; as in `crates/wasm/src/session/inbound.rs`. */
export const PICTURE_BYTES_MAX = 1000 * 1024;

/** Where an object of another one belongs. */
export type Location = Pick<Record, "group" | "object">;

/** A token is at most as long as a field of the border's format can be. */
const FIELD_BYTES_MAX = 0xffff;

/** One MoQT session: hand in what arrives, carry out what `poll` returns until it is null. */
export class Session {
	readonly #wasm: Exports;
	readonly #memory: Memory;
	readonly #encoder = new TextEncoder();

	/** `now` here and below: ms of one clock. */
	constructor(module: WebAssembly.Module, token: string, now: number) {
		this.#wasm = new WebAssembly.Instance(module, {}).exports as unknown as Exports;
		this.#memory = new Memory(this.#wasm);
		this.#wasm.session_new(this.#memory.write(this.#encoder.encode(token)), now);
	}

	poll(): Record | null {
		return this.#memory.record(this.#wasm.session_poll());
	}

	/** When `timeout` must be called, ms; Infinity: never. */
	get deadline(): number {
		return this.#wasm.session_deadline();
	}

	timeout(now: number): void {
		this.#wasm.session_timeout(now);
	}

	acceptBi(): number {
		return this.#wasm.session_accept_bi();
	}

	acceptUni(): number {
		return this.#wasm.session_accept_uni();
	}

	/** Bytes of a stream, however many. */
	stream(id: number, bytes: Uint8Array, fin: boolean, now: number): void {
		let rest = bytes;
		while (rest.length > INPUT_BYTES_MAX) {
			this.#wasm.session_stream(id, this.#memory.write(rest.subarray(0, INPUT_BYTES_MAX)), 0, now);
			rest = rest.subarray(INPUT_BYTES_MAX);
		}
		this.#wasm.session_stream(id, this.#memory.write(rest), fin ? 1 : 0, now);
	}

	reset(id: number, code: number, now: number): void {
		this.#wasm.session_reset(id, code, now);
	}

	stop(id: number, code: number, now: number): void {
		this.#wasm.session_stop(id, code, now);
	}

	datagram(bytes: Uint8Array, now: number): void {
		if (bytes.length <= INPUT_BYTES_MAX) this.#wasm.session_datagram(this.#memory.write(bytes), now);
	}

	/** False when it is refused here: too many tracks, or the session is closed. */
	subscribe(key: number, offer: Offer, rendezvousMs: number): boolean {
		return this.#wasm.session_subscribe(key, this.#offer(offer), rendezvousMs) === 0;
	}

	/** As {@link subscribe}. */
	publish(key: number, offer: Offer, via: "datagram" | "stream", timestamps: boolean): boolean {
		const bytes = this.#offer(offer);
		return this.#wasm.session_publish(key, bytes, via === "stream" ? 1 : 0, timestamps ? 1 : 0) === 0;
	}

	/** Subscribes to pictures, from a new group on. `priority`: the subscriber's, lower goes first. */
	watch(key: number, offer: Offer, rendezvousMs: number, priority: number, timeoutMs: number): boolean {
		return this.#wasm.session_watch(key, this.#offer(offer), rendezvousMs, priority, timeoutMs) === 0;
	}

	/** Subscribes to objects of any kind: `Object`s of `key`. The publisher is asked to say the newest again. */
	follow(key: number, offer: Offer, rendezvousMs: number): boolean {
		return this.#wasm.session_follow(key, this.#offer(offer), rendezvousMs) === 0;
	}

	/** Asks the publisher of an incoming track for a new group, not below `group`. */
	askGroup(key: number, group: number): boolean {
		return this.#wasm.session_ask_group(key, group) === 0;
	}

	/** Publishes pictures; `priority`: the publisher's. `Live`: somebody watches, `Idle`: nobody does. */
	show(key: number, offer: Offer, priority: number): boolean {
		return this.#wasm.session_show(key, this.#offer(offer), priority) === 0;
	}

	/** Sends a picture; false when the relay wants none now, or none of this group. Places must ascend. */
	picture(key: number, { group, object }: Place, { at, independent, config, bytes }: Picture): boolean {
		if (bytes.length > PICTURE_BYTES_MAX) return false;
		const input = new Uint8Array(2 + config.length + bytes.length);
		new DataView(input.buffer).setUint16(0, config.length, true);
		input.set(config, 2);
		input.set(bytes, 2 + config.length);
		const flags = independent ? 1 : 0;
		return this.#wasm.session_picture(key, group, object, at, flags, this.#memory.write(input)) === YES;
	}

	/** Gives up the group of pictures that is being sent. */
	giveUp(key: number): void {
		this.#wasm.session_give_up(key);
	}

	end(key: number): void {
		this.#wasm.session_end(key);
	}

	/** Sends an Opus packet of 20 ms; false when the relay wants no objects now. Places must ascend. */
	voice(key: number, { group, object }: Place, at: number, level: number, packet: Uint8Array): boolean {
		return this.#wasm.session_voice(key, group, object, at, level, this.#memory.write(packet)) === YES;
	}

	/** Sends a group of one object; false when the relay wants none now. */
	single(key: number, group: number, payload: Uint8Array): boolean {
		return this.#wasm.session_single(key, group, this.#memory.write(payload)) === YES;
	}

	/** Asks for packets of the past of an incoming track: `Packet`s of `key`, then `Ended` with code 0. */
	fetch(key: number, of: number, from: Location, last: Location): boolean {
		return this.#wasm.session_fetch(key, of, from.group, from.object, last.group, last.object) === 0;
	}

	ping(key: number, now: number): boolean {
		return this.#wasm.session_ping(key, now) === 0;
	}

	#offer({ token, name, namespace }: Offer): number {
		const fields = [token, name, ...namespace].map((field) => this.#encoder.encode(field));
		const bytes = new Uint8Array(fields.reduce((sum, field) => sum + 2 + field.length, 0));
		const view = new DataView(bytes.buffer);
		let at = 0;
		for (const field of fields) {
			if (field.length > FIELD_BYTES_MAX) throw new RangeError("token or name too long");
			view.setUint16(at, field.length, true);
			bytes.set(field, at + 2);
			at += 2 + field.length;
		}
		return this.#memory.write(bytes);
	}
}

/** As in `crates/wasm/src/border.rs`. */
const YES = 1;
