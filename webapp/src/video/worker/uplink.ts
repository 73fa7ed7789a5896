/**
 * How much of our own pictures goes out: what waits for the network says how much that carries. Pictures are left
 * out first, then the bitrate falls, then the large sizes go.
 */

/** Below this the network keeps up. */
const CALM_MS = 80;
/** From here on the next picture would only wait, too. */
const SKIP_MS = 150;
/** From here on less is sent. */
const LESS_MS = 300;
/** From here on what waits is worth nothing. */
const GIVE_UP_MS = 1_000;
/** How often the share is changed, down and up. */
const DOWN_EVERY_MS = 500;
const UP_EVERY_MS = 2_000;
const DOWN = 0.7;
const UP = 1.1;
/** Below this share the largest size is left out rather than spoilt. */
const SHARE_MIN = 0.35;

export class Uplink {
	#share = 1;
	/** How many of the large sizes are left out. */
	#without = 0;
	#changedAt = Number.NEGATIVE_INFINITY;

	/** How much of its bitrate each size gets. */
	get share(): number {
		return this.#share;
	}

	/** How many of `count` sizes may be sent, the small ones first: always one. */
	sizes(count: number): number {
		return Math.max(1, count - this.#without);
	}

	/** Says what to do with the next picture, after so many ms for which others have waited. */
	look(waitedMs: number, now: number): "send" | "skip" | "give up" {
		const since = now - this.#changedAt;
		if (waitedMs >= LESS_MS && since >= DOWN_EVERY_MS) this.#less(now);
		else if (waitedMs < CALM_MS && since >= UP_EVERY_MS) this.#more(now);
		if (waitedMs >= GIVE_UP_MS) return "give up";
		return waitedMs >= SKIP_MS ? "skip" : "send";
	}

	#less(now: number): void {
		this.#changedAt = now;
		if (this.#share * DOWN >= SHARE_MIN) {
			this.#share *= DOWN;
		} else if (this.#without < SIZES_MAX - 1) {
			this.#without++;
			this.#share = 1;
		}
	}

	#more(now: number): void {
		if (this.#share === 1 && this.#without === 0) return;
		this.#changedAt = now;
		if (this.#share < 1) {
			this.#share = Math.min(1, this.#share * UP);
		} else {
			this.#without--;
			this.#share = SHARE_MIN / DOWN;
		}
	}
}

/** Sizes of one source. */
export const SIZES_MAX = 3;
