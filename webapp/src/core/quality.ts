/** How good a call sounds, told from the last seconds of statistics. */
import type { MediaStats, PeerStats } from "./media/api.ts";

/** Long enough to even out single losses, short enough to show what is wrong now. */
const WINDOW_MS = 8_000;
/** What a packet holds (docs/protocol.md, section 3). */
const FRAME_MS = 20;

export type Grade = "unknown" | "good" | "fair" | "poor";

export interface Quality {
	readonly grade: Grade;
	/** E-model rating, 0 to 93 (ITU-T G.107, delay and loss only), or null while unknown. */
	readonly rating: number | null;
	readonly roundTripMs: number | null;
	/** Packets of the window that never came, percent. */
	readonly lossPercent: number | null;
	/** Made-up sound of the window, percent of all. */
	readonly concealedPercent: number | null;
	readonly bufferMs: number | null;
	readonly outputMs: number;
}

export const NO_QUALITY: Quality = {
	grade: "unknown",
	rating: null,
	roundTripMs: null,
	lossPercent: null,
	concealedPercent: null,
	bufferMs: null,
	outputMs: 0,
};

interface Sample {
	readonly at: number;
	readonly received: number;
	readonly lost: number;
	readonly concealedMs: number;
}

/** Remembers the counters of one room over the window. */
export class QualityMeter {
	#samples: Sample[] = [];

	/** Takes what the engine counts now; `at` is `Date.now`. */
	take(stats: MediaStats, room: string, at: number): Quality {
		const peers = stats.peers.filter((peer) => peer.room === room);
		const sample = { at, received: sum(peers, "received"), lost: sum(peers, "lost"), concealedMs: sum(peers, "concealedMs") };
		this.#remember(sample);
		const first = this.#samples[0] ?? sample;
		const came = sample.received - first.received;
		const missing = Math.max(0, sample.lost - first.lost);
		const madeMs = Math.max(0, sample.concealedMs - first.concealedMs);
		const known = came + missing > 0;
		const bufferMs = !known || peers.length === 0 ? null : Math.max(...peers.map((peer) => peer.delayMs));
		const lossPercent = known ? (100 * missing) / (came + missing) : null;
		const concealedPercent = known ? Math.min(100, (100 * madeMs) / (FRAME_MS * (came + missing))) : null;
		const rating = known && stats.roundTripMs !== null ? rate(stats.roundTripMs, bufferMs ?? 0, stats.outputLatencyMs, lossPercent ?? 0) : null;
		return {
			grade: gradeOf(rating),
			rating,
			roundTripMs: stats.roundTripMs,
			lossPercent,
			concealedPercent,
			bufferMs,
			outputMs: stats.outputLatencyMs,
		};
	}

	#remember(sample: Sample): void {
		const last = this.#samples.at(-1);
		// Counters that fell belong to a new subscription.
		if (last !== undefined && sample.received < last.received) this.#samples = [];
		this.#samples = [...this.#samples.filter((old) => sample.at - old.at <= WINDOW_MS), sample];
	}
}

function sum(peers: readonly PeerStats[], counter: "received" | "lost" | "concealedMs"): number {
	return peers.reduce((total, peer) => total + peer[counter], 0);
}

/** Capture, Opus frame with look-ahead and the far end's own path; an estimate. */
const FIXED_DELAY_MS = 60;

/** G.107 reduced to delay and loss: R = 93.2 - Id - Ie,eff, with the Bpl of concealed speech. */
function rate(roundTripMs: number, bufferMs: number, outputMs: number, lossPercent: number): number {
	const delay = roundTripMs + bufferMs + outputMs + FIXED_DELAY_MS;
	const impairedByDelay = 0.024 * delay + (delay > 177.3 ? 0.11 * (delay - 177.3) : 0);
	const impairedByLoss = (95 * lossPercent) / (lossPercent + 25.1);
	return Math.max(0, 93.2 - impairedByDelay - impairedByLoss);
}

/** The mean opinion score of a rating (G.107, annex B), 1 to 4.5. */
export function mosOf(rating: number): number {
	const r = Math.min(100, Math.max(0, rating));
	return Math.max(1, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6);
}

/** G.109: 80 and more "satisfied", 70 and more "some dissatisfied". */
function gradeOf(rating: number | null): Grade {
	if (rating === null) return "unknown";
	if (rating >= 80) return "good";
	return rating >= 70 ? "fair" : "poor";
}
