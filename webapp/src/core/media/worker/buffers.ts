/** Sample buffers that go round between Worker and playout worklet instead of to the collector. */

/** Buffers kept: what a second of one voice needs. */
const KEPT_MAX = 64;

export class Buffers {
	readonly #free: Float32Array<ArrayBuffer>[] = [];

	/** Returns an array of exactly that length; its contents are anything. */
	take(samples: number): Float32Array<ArrayBuffer> {
		const last = this.#free.at(-1);
		if (last?.length !== samples) return new Float32Array(samples);
		this.#free.pop();
		return last;
	}

	give(buffer: Float32Array<ArrayBuffer>): void {
		if (this.#free.length < KEPT_MAX) this.#free.push(buffer);
	}
}
