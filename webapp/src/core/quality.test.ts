import { describe, expect, it } from "vitest";
import type { MediaStats, PeerStats } from "./media/api.ts";
import { QualityMeter, mosOf } from "./quality.ts";

describe("the rating", () => {
	it("is that of the E-model for delay alone", () => {
		// 20 round trip + 40 buffer + 30 loudspeaker + 60 fixed = 150 ms: R 89.6.
		expect(after({ received: 100, lost: 0 }, { received: 500, lost: 0 }).rating).toBeCloseTo(89.6, 1);
	});

	it("falls with delay beyond 177 ms", () => {
		const quality = after({ received: 100 }, { received: 500 }, { roundTripMs: 120 });

		// 250 ms: R 79.2.
		expect(quality.rating).toBeCloseTo(79.2, 1);
		expect(quality.grade).toBe("fair");
	});

	it("falls with loss", () => {
		const quality = after({ received: 100, lost: 0 }, { received: 480, lost: 20 });

		expect(quality.lossPercent).toBeCloseTo(5);
		expect(quality.rating).toBeCloseTo(89.6 - 15.8, 1);
		expect(quality.grade).toBe("fair");
	});

	it("is unknown before anything came", () => {
		expect(after({}, {})).toMatchObject({ grade: "unknown", rating: null, lossPercent: null });
	});
});

it("is a mean opinion score by annex B of G.107", () => {
	expect([0, 50, 60, 70, 80, 90, 93.2, 100].map((rating) => Number(mosOf(rating).toFixed(2)))).toEqual([1, 2.58, 3.1, 3.6, 4.02, 4.34, 4.41, 4.5]);
});

it("forgets losses older than eight seconds", () => {
	const meter = new QualityMeter();
	meter.take(stats({ received: 0, lost: 0 }), "r", 0);
	expect(meter.take(stats({ received: 50, lost: 50 }), "r", 1_000).lossPercent).toBe(50);

	for (let second = 2; second <= 10; second += 1) meter.take(stats({ received: 50 * second, lost: 50 }), "r", second * 1000);

	expect(meter.take(stats({ received: 550, lost: 50 }), "r", 11_000).lossPercent).toBe(0);
});

it("begins anew when the counters do", () => {
	const meter = new QualityMeter();
	meter.take(stats({ received: 5_000, lost: 0 }), "r", 0);

	expect(meter.take(stats({ received: 10, lost: 0 }), "r", 1_000).lossPercent).toBeNull();
	expect(meter.take(stats({ received: 20, lost: 0 }), "r", 2_000).lossPercent).toBe(0);
});

it("counts made-up sound against what came", () => {
	expect(after({ received: 0 }, { received: 100, concealedMs: 200 }).concealedPercent).toBe(10);
});

it("looks at its own room only", () => {
	const meter = new QualityMeter();
	const other = { ...stats({ received: 100, lost: 900 }), peers: [peer({ room: "x", lost: 900 })] };
	meter.take(other, "r", 0);

	expect(meter.take(other, "r", 1_000)).toMatchObject({ lossPercent: null, bufferMs: null });
});

function after(first: Partial<PeerStats>, second: Partial<PeerStats>, more: Partial<MediaStats> = {}) {
	const meter = new QualityMeter();
	meter.take(stats(first, more), "r", 0);
	return meter.take(stats(second, more), "r", 5_000);
}

function stats(counters: Partial<PeerStats>, more: Partial<MediaStats> = {}): MediaStats {
	return {
		roundTripMs: 20,
		maxDatagramBytes: 1200,
		moves: 0,
		sent: 0,
		dropped: 0,
		captureToSendMs: null,
		encoderRestarts: 0,
		outputLatencyMs: 30,
		peers: [peer(counters)],
		...more,
	};
}

function peer(change: Partial<PeerStats>): PeerStats {
	return {
		room: "r",
		participant: "p2",
		state: "live",
		received: 0,
		lost: 0,
		targetMs: 40,
		delayMs: 40,
		jitterMs: 0,
		concealedMs: 0,
		late: 0,
		underruns: 0,
		shedMs: 0,
		decoderRestarts: 0,
		...change,
	};
}
