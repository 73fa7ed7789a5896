/** The playout half of the WebAssembly glue (`crates/wasm`): jitter buffers, concealment, the sum. */

import type { PlayoutPeerStats } from "../messages.ts";

interface Exports {
	readonly memory: WebAssembly.Memory;
	input(bytes: number): number;
	playout_reset(): void;
	playout_add(peer: number): number;
	playout_remove(peer: number): void;
	playout_gain(peer: number, gain: number): number;
	playout_push(peer: number, at: number, samples: number, frame: number): number;
	playout_pause(peer: number, at: number): number;
	playout_render(samples: number, frame: number): number;
	playout_level(peer: number): number;
	playout_heard(peer: number): number;
	playout_stats(peer: number): number;
}

/** Order of the numbers that `playout_stats` writes, f64 each. */
const STATS = ["targetMs", "delayMs", "jitterMs", "concealedMs", "late", "underruns", "shedMs"] as const;

export type BufferStats = Omit<PlayoutPeerStats, "room" | "participant">;

export class Playout {
	readonly #wasm: Exports;
	#floats: Float32Array;

	/** Takes the bytes of the module: compiled here, since not every browser lets a module travel into a worklet. */
	constructor(module: BufferSource) {
		const instance = new WebAssembly.Instance(new WebAssembly.Module(module), {});
		this.#wasm = instance.exports as unknown as Exports;
		this.#floats = new Float32Array(this.#wasm.memory.buffer);
		this.#wasm.playout_reset();
	}

	/** False when there are too many peers. */
	add(peer: number): boolean {
		return this.#wasm.playout_add(peer) === 0;
	}

	remove(peer: number): void {
		this.#wasm.playout_remove(peer);
	}

	/** Makes a peer softer or louder; 1 is as it comes. */
	setGain(peer: number, gain: number): void {
		this.#wasm.playout_gain(peer, gain);
	}

	/** Takes sound of `peer` whose first sample belongs at `at`; `frame` is the context's clock now. */
	push(peer: number, at: number, samples: Float32Array, frame: number): void {
		const pointer = this.#wasm.input(samples.length * 4);
		if (pointer === 0) return;
		this.#memory().set(samples, pointer / 4);
		this.#wasm.playout_push(peer, at, samples.length, frame);
	}

	/** `peer` says itself that it is silent from `at` on: what is missing there was not lost. */
	pause(peer: number, at: number): void {
		this.#wasm.playout_pause(peer, at);
	}

	/** Fills `output` with what is heard from `frame` on. */
	render(output: Float32Array, frame: number): void {
		const pointer = this.#wasm.playout_render(output.length, frame);
		if (pointer === 0) return;
		const memory = this.#memory();
		const from = pointer / 4;
		for (let i = 0; i < output.length; i++) output[i] = memory[from + i] as number;
	}

	/** Returns the peer's level in dB since the last call. */
	level(peer: number): number {
		return this.#wasm.playout_level(peer);
	}

	/** True once anything of the peer was played. */
	heard(peer: number): boolean {
		return this.#wasm.playout_heard(peer) === 1;
	}

	stats(peer: number): BufferStats | null {
		const pointer = this.#wasm.playout_stats(peer);
		if (pointer === 0) return null;
		const view = new DataView(this.#wasm.memory.buffer, pointer);
		const numbers = STATS.map((name, i) => [name, view.getFloat64(i * 8, true)]);
		return Object.fromEntries(numbers) as BufferStats;
	}

	/** The memory as floats; growing replaces the buffer. */
	#memory(): Float32Array {
		if (this.#floats.buffer !== this.#wasm.memory.buffer) this.#floats = new Float32Array(this.#wasm.memory.buffer);
		return this.#floats;
	}
}
