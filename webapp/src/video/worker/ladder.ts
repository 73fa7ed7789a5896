/**
 * Decides which size of each source is taken: by the tile, and by what the network carries. All sources come by one
 * connection, so one that is late is a sign for all: they step down one after the other, the least important
 * first, and up again one at a time.
 */

/** One size of a source. */
export interface Rung {
	readonly width: number;
	readonly height: number;
	readonly bitrate: number;
}

/** A tile, as it is now. */
export interface View {
	readonly id: number;
	/** Steps down before those with lower numbers. */
	readonly rank: number;
	/** Ascending by what they cost. */
	readonly rungs: readonly Rung[];
	/** Pixels that are seen; 0: out of sight. */
	readonly w: number;
	readonly h: number;
	/** How much later than possible pictures come now, ms; null: none come. */
	readonly lateMs: number | null;
	/** Groups that were given up, ever. */
	readonly cuts: number;
}

/** Later than this is more than the uneven arrival of a good network. */
const LATE_MS = 300;
/** Far more than a smaller size alone brings in time. */
const FAR_TOO_LATE_MS = 600;
/** For so long: one large picture is no congestion. */
const LATE_FOR_MS = 400;
/** What a step down needs to be felt: the queue on the way must drain. */
const SETTLE_MS = 600;
/** So long all must be well before a step up is tried. */
const CALM_MS = 5_000;
/** A step up that goes wrong within this was one too many. */
const TRIAL_MS = 6_000;
/** How long after a step down nothing goes up; doubles when going up was wrong. */
const PENALTY_FIRST_MS = 8_000;
const PENALTY_MAX_MS = 120_000;
/** A size that shows at least this share of a tile's pixels in one direction will do. */
const ENOUGH = 0.8;

interface Memory {
	/** The rung; -1: none. */
	at: number;
	/** The one that the tile wants. */
	best: number;
	cuts: number;
	/** The rest of a group was given up since the last look. */
	lost: boolean;
	lateSince: number | null;
}

export class Ladder {
	readonly #views = new Map<number, Memory>();
	#calmSince: number | null = null;
	#steppedAt = Number.NEGATIVE_INFINITY;
	#raisedAt = Number.NEGATIVE_INFINITY;
	#strainedAt = Number.NEGATIVE_INFINITY;
	#holdUntil = Number.NEGATIVE_INFINITY;
	#penalty = PENALTY_FIRST_MS;

	/** Returns the rung of each view, -1: nothing. Call it often, and when anything changed; `now` in ms. */
	choose(views: readonly View[], now: number): Map<number, number> {
		for (const id of [...this.#views.keys()]) if (!views.some((view) => view.id === id)) this.#views.delete(id);
		const strained = views.filter((view) => this.#meet(view, now)).length > 0;
		if (strained) this.#strain(views, now);
		else this.#calm(views, now);
		return new Map(views.map(({ id }) => [id, this.#memory(id).at]));
	}

	/** Fits a view to its tile; returns whether the network is behind. */
	#meet(view: View, now: number): boolean {
		const best = fitting(view);
		let memory = this.#views.get(view.id);
		if (memory === undefined) {
			// Who comes while the network is full begins at the bottom.
			const at = now < this.#holdUntil ? Math.min(best, 0) : best;
			memory = { at, best, cuts: view.cuts, lost: false, lateSince: null };
			this.#views.set(view.id, memory);
		}
		const had = memory.best;
		memory.best = best;
		if (memory.at > best || best < 0) memory.at = best;
		else if (memory.at < 0) memory.at = now < this.#holdUntil ? 0 : best;
		// A tile that grew need not wait, unless the network was too small for more.
		else if (best > had && memory.at === had && now >= this.#holdUntil) memory.at = best;
		const cut = view.cuts > memory.cuts;
		memory.cuts = view.cuts;
		memory.lost = cut;
		if (view.lateMs === null || view.lateMs < LATE_MS) memory.lateSince = null;
		else memory.lateSince ??= now;
		return cut || (memory.lateSince !== null && now - memory.lateSince >= LATE_FOR_MS);
	}

	#strain(views: readonly View[], now: number): void {
		this.#calmSince = null;
		this.#strainedAt = now;
		if (now - this.#steppedAt < SETTLE_MS) return;
		if (now - this.#raisedAt < TRIAL_MS) {
			this.#penalty = Math.min(PENALTY_MAX_MS, this.#penalty * 2);
			this.#raisedAt = Number.NEGATIVE_INFINITY;
		}
		this.#holdUntil = now + this.#penalty;
		const lost = views.map(({ id }) => this.#memory(id)).filter((memory) => memory.lost && memory.at > 0);
		if (lost.length > 0) {
			// What is given up was far too much: no time for one after the other.
			for (const memory of lost) memory.at = 0;
			this.#steppedAt = now;
			return;
		}
		const high = views.filter(({ id }) => this.#memory(id).at > 0);
		const cost = ({ id, rungs }: View) => rungs[this.#memory(id).at]?.bitrate ?? 0;
		const [victim] = high.toSorted((a, b) => b.rank - a.rank || cost(b) - cost(a));
		if (victim === undefined) return;
		// Far too much: no time for small steps.
		const memory = this.#memory(victim.id);
		memory.at = (victim.lateMs ?? 0) >= FAR_TOO_LATE_MS ? 0 : memory.at - 1;
		this.#steppedAt = now;
	}

	#calm(views: readonly View[], now: number): void {
		this.#calmSince ??= now;
		if (now - this.#calmSince < CALM_MS || now < this.#holdUntil || now - this.#raisedAt < CALM_MS) return;
		if (now - this.#strainedAt > 2 * PENALTY_MAX_MS) this.#penalty = PENALTY_FIRST_MS;
		const low = views.filter((view) => this.#memory(view.id).at < fitting(view));
		const [next] = low.toSorted((a, b) => a.rank - b.rank || this.#memory(a.id).at - this.#memory(b.id).at);
		if (next === undefined) return;
		this.#memory(next.id).at++;
		this.#raisedAt = now;
	}

	#memory(id: number): Memory {
		const memory = this.#views.get(id) ?? { at: -1, best: -1, cuts: 0, lost: false, lateSince: null };
		this.#views.set(id, memory);
		return memory;
	}
}

/** The smallest rung that a tile does not have to blow up much; -1: it is out of sight, or there is none. */
export function fitting({ rungs, w, h }: Pick<View, "rungs" | "w" | "h">): number {
	if (w <= 0 || h <= 0) return -1;
	// A size that is not told is as good as any.
	const index = rungs.findIndex(({ width, height }) => width === 0 || width >= w * ENOUGH || height >= h * ENOUGH);
	if (index < 0) return rungs.length - 1;
	// Of those that measure the same the best one.
	const { width, height } = rungs[index] as Rung;
	return rungs.findLastIndex((rung) => rung.width === width && rung.height === height);
}
