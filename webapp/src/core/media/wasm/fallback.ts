/** The fallback's half of the WebAssembly glue (`crates/wasm`, `fallback`): QMux without its I/O. */

import { type Exports as Border, Memory } from "./memory.ts";
import type { Record } from "./session.ts";

interface Exports extends Border {
	fallback_new(protocolBytes: number, now: number): number;
	fallback_poll(): number;
	fallback_transmit(now: number): number;
	fallback_deadline(): number;
	fallback_timeout(now: number): number;
	fallback_message(bytes: number, now: number): number;
	fallback_lost(): number;
	fallback_open(id: number, both: number): number;
	fallback_open_bulk(id: number): number;
	fallback_write(id: number, bytes: number): number;
	fallback_finish(id: number): number;
	fallback_reset(id: number, code: number): number;
	fallback_stop(id: number, code: number): number;
	fallback_datagram(bytes: number, now: number): number;
	fallback_datagram_max(): number;
	fallback_waiting(): number;
	fallback_bulk_waiting(): number;
	fallback_round_trip(): number;
	fallback_close(code: number, reasonBytes: number): number;
}

/** The WebSocket's subprotocols, the best one first. */
export const PROTOCOLS = ["qmux-02.moqt-18", "qmux-01.moqt-18"] as const;

/** One connection: hand in what arrives, carry out what `poll` and `transmit` return until they are null. */
export class Fallback {
	readonly #wasm: Exports;
	readonly #memory: Memory;
	readonly #encoder = new TextEncoder();

	/** `protocol`: what the WebSocket agreed on. `now` here and below: ms of one clock. */
	constructor(module: WebAssembly.Module, protocol: string, now: number) {
		this.#wasm = new WebAssembly.Instance(module, {}).exports as unknown as Exports;
		this.#memory = new Memory(this.#wasm);
		if (this.#wasm.fallback_new(this.#memory.write(this.#encoder.encode(protocol)), now) !== 0) {
			throw new Error(`"${protocol}" is no subprotocol of ours`);
		}
	}

	poll(): Record | null {
		return this.#memory.record(this.#wasm.fallback_poll());
	}

	/** The next message for the socket; ask only while it has room. */
	transmit(now: number): Uint8Array<ArrayBuffer> | null {
		return this.#memory.record(this.#wasm.fallback_transmit(now))?.bytes ?? null;
	}

	/** When `timeout` must be called, ms; Infinity: never. */
	get deadline(): number {
		return this.#wasm.fallback_deadline();
	}

	timeout(now: number): void {
		this.#wasm.fallback_timeout(now);
	}

	message(bytes: Uint8Array, now: number): void {
		this.#wasm.fallback_message(this.#memory.write(bytes), now);
	}

	lost(): void {
		this.#wasm.fallback_lost();
	}

	open(id: number, both: boolean): void {
		this.#wasm.fallback_open(id, both ? 1 : 0);
	}

	/** A unidirectional stream for pictures: the others go before it. */
	openBulk(id: number): void {
		this.#wasm.fallback_open_bulk(id);
	}

	write(id: number, bytes: Uint8Array): void {
		this.#wasm.fallback_write(id, this.#memory.write(bytes));
	}

	finish(id: number): void {
		this.#wasm.fallback_finish(id);
	}

	reset(id: number, code: number): void {
		this.#wasm.fallback_reset(id, code);
	}

	stop(id: number, code: number): void {
		this.#wasm.fallback_stop(id, code);
	}

	/** False when it can never be sent. */
	datagram(bytes: Uint8Array, now: number): boolean {
		return this.#wasm.fallback_datagram(this.#memory.write(bytes), now) === 1;
	}

	/** 0: there are none, or the relay has not said it yet. */
	get datagramBytesMax(): number {
		return this.#wasm.fallback_datagram_max();
	}

	/** What waits on the stream where most waits, those of pictures left out, bytes. */
	get waitingBytes(): number {
		return this.#wasm.fallback_waiting();
	}

	/** What waits on all streams of pictures, bytes. */
	get bulkWaitingBytes(): number {
		return this.#wasm.fallback_bulk_waiting();
	}

	get roundTripMs(): number | null {
		const ms = this.#wasm.fallback_round_trip();
		return ms < 0 ? null : ms;
	}

	/** The next message tells the relay. */
	close(code: number, reason: string): void {
		this.#wasm.fallback_close(code, this.#memory.write(this.#encoder.encode(reason)));
	}
}
