/** Time lines of what is heard (`crates/wasm`, `lines`): they go on while sessions change. */

import type { Record } from "./session.ts";

interface Exports {
	readonly memory: WebAssembly.Memory;
	line_place(line: number, group: bigint, object: bigint, stamp: number, ticks: number): number;
	line_counts(line: number): number;
	line_end(line: number): void;
}

export interface Counts {
	readonly received: number;
	readonly lost: number;
}

/** Lines have numbers that the caller chooses; a new number is a new line. */
export class Lines {
	readonly #wasm: Exports;

	/** Takes the module of the session. */
	constructor(module: WebAssembly.Module) {
		this.#wasm = new WebAssembly.Instance(module, {}).exports as unknown as Exports;
	}

	/** Returns the place of a packet, 1/48000 s, or null when it came before or too late. */
	place(line: number, { group, object, at, ticks }: Record): number | null {
		const place = this.#wasm.line_place(line, group, object, at, ticks);
		return place < 0 ? null : place;
	}

	counts(line: number): Counts {
		const view = new DataView(this.#wasm.memory.buffer, this.#wasm.line_counts(line));
		return { received: view.getFloat64(0, true), lost: view.getFloat64(8, true) };
	}

	end(line: number): void {
		this.#wasm.line_end(line);
	}
}
