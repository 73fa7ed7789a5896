/**
 * How fast pictures go out. Datagrams of voice and streams of pictures share the line, and a browser tells nothing of
 * it: Chromium goes on for seconds at the rate that a line had before, and the line loses voice with the rest. So while
 * pictures go out the relay is asked many times a second for a sign of life: answers that take longer than before are
 * a line that is full. Then no picture goes out until it is empty, and from there on fewer, at a rate that feels its
 * way up again. A line that was never full has no such rate.
 */

/** How often the relay is asked. */
const ASK_MS = 60;
/** Questions that wait for an answer: more would say nothing more. */
const ASKED_MAX = 3;
/** So much longer than the quickest answer is a line with a queue; a busy machine makes less of it... */
const FULL_MS = 100;
/** ...and a line whose answers are never even has more than this many of their usual deviations. */
const DEVIATIONS = 4;
/** Smoothing of what is usual: two seconds of answers. */
const USUAL_WEIGHT = 1 / 32;
/** For so long, seen twice: one answer may be lost, or late for other reasons. */
const FULL_FOR_MS = 40;
/** And so little is one without. */
const EMPTY_MS = 40;
/** Nobody looked for so long: we were late, not the answer. */
const STALLED_MS = 120;
/** So long at least nothing goes out when the line is full: what the browser has sent must pass. */
const HOLD_MS = 200;
/** The quickest answer of this long, and of as long before. */
const QUICKEST_MS = 10_000;
/** What went out in this time is the rate. */
const RATE_MS = 500;
/** Of what was sent when a line is full for the first time, and later of what it was thought to carry, it gets this much. */
const FIRST_CUT = 0.4;
const CUT = 0.6;
/** Less than the smallest camera needs helps nobody. */
const KBPS_MIN = 150;
/** More than a camera and a screen take: the line is wide again. */
const KBPS_FREE = 2_000;
/** How it grows: while all of it is used, and while it is not, up to some times what is used. */
const GROW_EVERY_MS = 200;
const GROWTH_USED = 1.1;
const GROWTH = 1.02;
const SPARE = 2.5;
/** As much may go out at a time: two packets. */
const BURST_BYTES = 2_400;
/** Writes of the last half second that are remembered. */
const SENT_MAX = 1_024;

export class Pace {
	/** Infinity: as fast as they come. */
	#kbps = Number.POSITIVE_INFINITY;
	#asked: number[] = [];
	#askedAt = Number.NEGATIVE_INFINITY;
	#late = 0;
	/** How late answers usually are, and how much that varies. */
	#usual = 0;
	#deviation = 0;
	#quickest = Number.POSITIVE_INFINITY;
	#quickestBefore = Number.POSITIVE_INFINITY;
	#quickestSince = Number.NEGATIVE_INFINITY;
	#fullSince: number | null = null;
	#held = false;
	#heldAt = Number.NEGATIVE_INFINITY;
	#lookedAt = Number.NEGATIVE_INFINITY;
	#grownAt = Number.NEGATIVE_INFINITY;
	readonly #sent: { at: number; bytes: number }[] = [];
	#credit = 0;
	#creditAt = 0;

	/** What may go out, kbit/s; Infinity: no limit is known. */
	get kbps(): number {
		return this.#kbps;
	}

	/** How long ago the line became narrower, ms. */
	narrowedFor(now: number): number {
		return now - this.#heldAt;
	}

	/** Whether the relay should be asked now. */
	wantsAnswer(now: number): boolean {
		return this.#asked.length < ASKED_MAX && now - this.#askedAt >= ASK_MS - 5;
	}

	asked(now: number): void {
		this.#asked.push(now);
		this.#askedAt = now;
	}

	/** An answer came after so long. */
	answered(tookMs: number, now: number): void {
		const at = now - tookMs;
		this.#asked = this.#asked.filter((asked) => asked > at + 1);
		if (now - this.#quickestSince > QUICKEST_MS) {
			this.#quickestBefore = this.#quickest;
			this.#quickest = Number.POSITIVE_INFINITY;
			this.#quickestSince = now;
		}
		this.#quickest = Math.min(this.#quickest, tookMs);
		// Had we looked in time it would have been less.
		if (now - this.#lookedAt > STALLED_MS) return;
		this.#late = tookMs - this.#least;
		// What is usual is learnt where the line is wide: later late answers would seem usual.
		if (this.#kbps !== Number.POSITIVE_INFINITY) return;
		this.#deviation += (Math.abs(this.#late - this.#usual) - this.#deviation) * USUAL_WEIGHT;
		this.#usual += (this.#late - this.#usual) * USUAL_WEIGHT;
	}

	/** Called often; "give up": what has gone out and not arrived is too much for the line. */
	look(now: number): "go on" | "give up" {
		const stalled = now - this.#lookedAt > STALLED_MS;
		this.#lookedAt = now;
		if (stalled) return "go on";
		const owed = now - (this.#asked[0] ?? now);
		const late = Math.max(this.#late, owed - this.#least);
		const full = Math.max(FULL_MS, this.#usual + DEVIATIONS * this.#deviation);
		if (late < full) this.#fullSince = null;
		else this.#fullSince ??= now;
		const empty = Math.max(EMPTY_MS, this.#usual + this.#deviation);
		if (this.#held) {
			if (late < empty && now - this.#heldAt >= HOLD_MS) this.#resume(now);
			return "go on";
		}
		if (this.#fullSince !== null && now - this.#fullSince >= FULL_FOR_MS) return this.#hold(now);
		if (late < empty) this.#grow(now);
		return "go on";
	}

	/** How many bytes of pictures may go out now. */
	room(now: number): number {
		if (this.#held) return 0;
		if (this.#kbps === Number.POSITIVE_INFINITY) return this.#kbps;
		this.#credit = Math.min(BURST_BYTES, this.#credit + ((now - this.#creditAt) * this.#kbps) / 8);
		this.#creditAt = now;
		return this.#credit;
	}

	/** They went out. */
	sent(bytes: number, now: number): void {
		this.#credit -= bytes;
		if (this.#sent.length >= SENT_MAX) this.#sent.shift();
		this.#sent.push({ at: now, bytes });
	}

	get #least(): number {
		const least = Math.min(this.#quickest, this.#quickestBefore);
		return least === Number.POSITIVE_INFINITY ? 0 : least;
	}

	#hold(now: number): "go on" | "give up" {
		const free = this.#kbps === Number.POSITIVE_INFINITY;
		const rate = this.#rate(now);
		this.#kbps = Math.max(KBPS_MIN, free ? rate * FIRST_CUT : Math.min(this.#kbps, rate) * CUT);
		this.#held = true;
		this.#heldAt = now;
		this.#fullSince = null;
		// What hardly takes anything is not what fills the line.
		return free && rate > KBPS_MIN ? "give up" : "go on";
	}

	#resume(now: number): void {
		this.#held = false;
		this.#late = 0;
		this.#grownAt = now;
		this.#credit = 0;
		this.#creditAt = now;
	}

	#grow(now: number): void {
		if (this.#kbps === Number.POSITIVE_INFINITY || now - this.#grownAt < GROW_EVERY_MS) return;
		this.#grownAt = now;
		const rate = this.#rate(now);
		if (rate > 0.7 * this.#kbps) this.#kbps *= GROWTH_USED;
		else if (rate * SPARE > this.#kbps) this.#kbps *= GROWTH;
		if (this.#kbps >= KBPS_FREE) this.#kbps = Number.POSITIVE_INFINITY;
	}

	/** What went out of late, kbit/s. */
	#rate(now: number): number {
		while (this.#sent[0] !== undefined && now - this.#sent[0].at > RATE_MS) this.#sent.shift();
		return (this.#sent.reduce((sum, { bytes }) => sum + bytes, 0) * 8) / RATE_MS;
	}
}
