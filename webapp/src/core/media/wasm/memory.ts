/** What Worker and module hand each other through the module's memory (`crates/wasm`, `border` and `record`). */

import type { Record } from "./session.ts";

export interface Exports {
	readonly memory: WebAssembly.Memory;
	input(bytes: number): number;
}

/** As in `crates/wasm/src/border.rs`. */
export const INPUT_BYTES_MAX = 1024 * 1024;
const NOTHING = new Uint8Array(0);

export class Memory {
	readonly #wasm: Exports;
	#bytes: Uint8Array<ArrayBuffer>;

	constructor(wasm: Exports) {
		this.#wasm = wasm;
		this.#bytes = new Uint8Array(wasm.memory.buffer as ArrayBuffer);
	}

	/** Puts bytes where the next call finds them; returns their number. */
	write(bytes: Uint8Array): number {
		const at = this.#wasm.input(bytes.length);
		if (at === 0 && bytes.length > 0) throw new RangeError(`${bytes.length} bytes are too many`);
		this.#view().set(bytes, at);
		return bytes.length;
	}

	/** Copies the record that lies at `at`; 0: there is none. */
	record(at: number): Record | null {
		if (at === 0) return null;
		const memory = this.#view();
		const view = new DataView(memory.buffer, at);
		const length = view.getUint32(12, true);
		const from = view.getUint32(44, true);
		return {
			kind: view.getUint32(0, true),
			id: view.getUint32(4, true),
			code: view.getUint32(8, true),
			at: view.getFloat64(16, true),
			group: view.getBigUint64(24, true),
			object: view.getBigUint64(32, true),
			ticks: view.getUint32(40, true),
			participant: view.getUint32(48, true),
			bytes: length === 0 ? NOTHING : memory.slice(from, from + length),
		};
	}

	/** The memory; growing replaces the buffer. */
	#view(): Uint8Array<ArrayBuffer> {
		if (this.#bytes.buffer !== this.#wasm.memory.buffer) {
			this.#bytes = new Uint8Array(this.#wasm.memory.buffer as ArrayBuffer);
		}
		return this.#bytes;
	}
}
