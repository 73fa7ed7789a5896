import { describe, expect, it } from "vitest";
import { FRAME_SAMPLES } from "../messages.ts";
import { BurstDetector } from "./bursts.ts";
import { Framer, isSpeech, levelDb, levelOctet } from "./framer.ts";

describe("frames of 20 ms", () => {
	for (const quantum of [128, 256, 100, 960, 2_500]) {
		it(`are cut exactly from quanta of ${quantum}`, () => {
			const frames: { at: number; pcm: Float32Array }[] = [];
			const framer = new Framer(
				() => new Float32Array(FRAME_SAMPLES),
				(pcm, at) => frames.push({ at, pcm }),
			);
			const begin = 77;

			for (let at = 0; at < 20_000; at += quantum) {
				framer.push(Float32Array.from({ length: quantum }, (_, i) => at + i), begin + at);
			}

			expect(frames.length).toBeGreaterThan(19);
			for (const [n, { at, pcm }] of frames.entries()) {
				expect(at).toBe(begin + n * FRAME_SAMPLES);
				expect(pcm[0]).toBe(n * FRAME_SAMPLES);
				expect(pcm[FRAME_SAMPLES - 1]).toBe((n + 1) * FRAME_SAMPLES - 1);
			}
		});
	}

	it("carry a jump of the clock into the next frame", () => {
		const places: number[] = [];
		const framer = new Framer(
			() => new Float32Array(FRAME_SAMPLES),
			(_, at) => places.push(at),
		);
		framer.push(new Float32Array(FRAME_SAMPLES), 0);
		framer.push(new Float32Array(FRAME_SAMPLES), 48_000);
		expect(places).toEqual([0, 48_000]);
	});

	it("do not begin before a pause", () => {
		const frames: { at: number; first: number }[] = [];
		const framer = new Framer(
			() => new Float32Array(FRAME_SAMPLES),
			(pcm, at) => frames.push({ at, first: pcm[0] as number }),
		);

		framer.push(new Float32Array(500).fill(1), 0);
		framer.push(new Float32Array(FRAME_SAMPLES).fill(2), 48_000);

		expect(frames).toEqual([{ at: 48_000, first: 2 }]);
	});
});

describe("levels", () => {
	it("count as RFC 6464 does", () => {
		expect(levelDb(new Float32Array(960))).toBe(-127);
		expect(levelDb(new Float32Array(960).fill(1))).toBe(0);
		expect(levelDb(new Float32Array(960).fill(2))).toBe(0);
		expect(levelDb(new Float32Array(960).fill(0.1))).toBeCloseTo(-20, 3);
		expect(levelOctet(-20)).toBe(0x80 | 20);
		expect(levelOctet(-127)).toBe(127);
		expect(isSpeech(-50)).toBe(false);
	});
});

describe("bursts", () => {
	it("begin after 100 ms of quiet and end after 10 ms", () => {
		const bursts: number[] = [];
		const sounds: [number, number][] = [];
		const detector = new BurstDetector(
			(frame) => bursts.push(frame),
			(from, to) => sounds.push([from, to]),
		);
		const samples = new Float32Array(48_000);
		samples.fill(0.5, 1_000, 5_000);
		samples.fill(0.5, 7_000, 9_000); // 2000 samples of quiet: a gap, but no new burst
		samples.fill(0.5, 20_000, 30_000);

		for (let at = 0; at < samples.length; at += 128) detector.push(samples.subarray(at, at + 128), 500 + at);

		expect(bursts).toEqual([1_500, 20_500]);
		expect(sounds).toEqual([
			[1_500, 5_500],
			[7_500, 9_500],
			[20_500, 30_500],
		]);
	});
});
