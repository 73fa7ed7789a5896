/** Times of one participant: when what was taken at a moment of its clock could be here at the earliest. */

/** 1/48000 s in a millisecond. */
export const TICKS_MS = 48;
/** The earliest arrivals of this long count, so that clocks may drift apart. */
const WINDOW_MS = 10_000;
/** A clock that jumps by more began anew. */
const JUMP_MS = 5_000;

/** The least of what was seen in the last one to two windows. */
class Least {
	#now = Number.POSITIVE_INFINITY;
	#before = Number.POSITIVE_INFINITY;
	#turnedAt = Number.NEGATIVE_INFINITY;

	see(value: number, now: number): void {
		if (Math.abs(value - this.value) > JUMP_MS && this.value !== Number.POSITIVE_INFINITY) this.clear();
		if (now - this.#turnedAt > WINDOW_MS) {
			this.#before = now - this.#turnedAt > 2 * WINDOW_MS ? Number.POSITIVE_INFINITY : this.#now;
			this.#now = Number.POSITIVE_INFINITY;
			this.#turnedAt = now;
		}
		this.#now = Math.min(this.#now, value);
	}

	get value(): number {
		return Math.min(this.#now, this.#before);
	}

	clear(): void {
		this.#now = Number.POSITIVE_INFINITY;
		this.#before = Number.POSITIVE_INFINITY;
	}
}

export class Timeline {
	readonly #voice = new Least();
	readonly #pictures = new Least();
	#heardAt = Number.NEGATIVE_INFINITY;

	/** A voice packet that begins at `ticks` came. Times in ms of any clock that is the same for all. */
	heard(ticks: number, now: number): void {
		this.#heardAt = now;
		this.#voice.see(now - ticks / TICKS_MS, now);
	}

	/** A picture came; returns how much later than possible, ms. */
	seen(ticks: number, now: number): number {
		const offset = now - ticks / TICKS_MS;
		this.#pictures.see(offset, now);
		// The voice shows what the network can do even where pictures have never been in time.
		const voice = this.#isHeard(now) && Math.abs(offset - this.#voice.value) < JUMP_MS ? this.#voice.value : Number.POSITIVE_INFINITY;
		return Math.max(0, offset - Math.min(voice, this.#pictures.value));
	}

	/** When voice of that moment came, or comes, at the earliest; null: there is no voice. */
	voiceAt(ticks: number, now: number): number | null {
		if (!this.#isHeard(now)) return null;
		const at = this.#voice.value + ticks / TICKS_MS;
		return Math.abs(at - now) < JUMP_MS ? at : null;
	}

	#isHeard(now: number): boolean {
		return now - this.#heardAt < WINDOW_MS;
	}
}
