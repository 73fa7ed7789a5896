/** Pictures and bytes of the last two seconds. */

const WINDOW_MS = 2_000;
/** More than anybody sends in that time. */
const ENTRIES_MAX = 256;

export class Rates {
	readonly #entries: { at: number; bytes: number }[] = [];

	count(bytes: number, now: number): void {
		this.#forget(now);
		if (this.#entries.length >= ENTRIES_MAX) this.#entries.shift();
		this.#entries.push({ at: now, bytes });
	}

	rates(now: number): { fps: number; kbps: number } {
		this.#forget(now);
		const bytes = this.#entries.reduce((sum, entry) => sum + entry.bytes, 0);
		return { fps: (this.#entries.length * 1000) / WINDOW_MS, kbps: (bytes * 8) / WINDOW_MS };
	}

	#forget(now: number): void {
		while (this.#entries[0] !== undefined && now - this.#entries[0].at >= WINDOW_MS) this.#entries.shift();
	}
}
