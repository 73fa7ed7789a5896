import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { Playout } from "./playout.ts";

const bytes = await readFile(new URL("./playout.wasm", import.meta.url));
const FRAME = 960;
const QUANTUM = 128;

describe("the playout in WebAssembly", () => {
	it("plays a tone within 40 ms of its arrival, without a gap", () => {
		const playout = new Playout(bytes);
		expect(playout.add(7)).toBe(true);

		const heard = play(playout, 50);

		const begin = heard.findIndex((sample) => Math.abs(sample) > 0.01);
		expect((begin - FRAME) / 48).toBeLessThan(40);
		const rest = heard.subarray(begin);
		expect(longestQuiet(rest)).toBeLessThan(48);
		expect(playout.heard(7)).toBe(true);
		expect(playout.level(7)).toBeCloseTo(20 * Math.log10(0.5 / Math.SQRT2), 0);
		const stats = playout.stats(7);
		expect(stats?.targetMs).toBeGreaterThan(5);
		expect(stats).toMatchObject({ concealedMs: 0, late: 0, underruns: 0 });
	});

	it("is silent without peers and after they left", () => {
		const playout = new Playout(bytes);
		playout.add(7);
		play(playout, 5);
		playout.remove(7);

		const output = new Float32Array(QUANTUM).fill(1);
		playout.render(output, 0);

		expect(output.every((sample) => sample === 0)).toBe(true);
		expect(playout.stats(7)).toBeNull();
		expect(playout.level(7)).toBe(-127);
	});

	it("refuses the same peer twice and more than 64", () => {
		const playout = new Playout(bytes);
		expect(playout.add(0)).toBe(true);
		expect(playout.add(0)).toBe(false);
		for (let id = 1; id < 64; id++) expect(playout.add(id)).toBe(true);
		expect(playout.add(64)).toBe(false);
	});

	it("survives nonsense", () => {
		const playout = new Playout(bytes);
		playout.add(1);
		const samples = new Float32Array(FRAME).fill(Number.NaN);
		const values = [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 63, 0];
		for (const at of values) for (const frame of values) playout.push(1, at, samples, frame);
		playout.push(1, 0, new Float32Array(100_000), 0);

		const output = new Float32Array(QUANTUM);
		playout.render(output, 0);

		expect(output.every((sample) => Math.abs(sample) <= 1)).toBe(true);
	});
});

/** Frames of 440 Hz, each handed over when its last sample would have been captured. */
function play(playout: Playout, frames: number): Float32Array {
	const heard = new Float32Array(frames * FRAME);
	let arrived = 0;
	for (let now = 0; now + QUANTUM <= heard.length; now += QUANTUM) {
		for (; (arrived + 1) * FRAME <= now; arrived++) {
			const frame = Float32Array.from({ length: FRAME }, (_, i) => tone(arrived * FRAME + i));
			playout.push(7, 2 ** 32 + arrived * FRAME, frame, now);
		}
		playout.render(heard.subarray(now, now + QUANTUM), now);
	}
	return heard;
}

const tone = (i: number) => 0.5 * Math.sin((2 * Math.PI * 440 * i) / 48_000);

function longestQuiet(samples: Float32Array): number {
	let longest = 0;
	let quiet = 0;
	for (const sample of samples) {
		quiet = Math.abs(sample) > 0.003 ? 0 : quiet + 1;
		longest = Math.max(longest, quiet);
	}
	return longest;
}
