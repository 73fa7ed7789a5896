import { describe, expect, it } from "vitest";
import { Buffers } from "./buffers.ts";
import { backoff, failure } from "./link.ts";
import { CATALOG, Track } from "./tracks.ts";

const OFFER = { namespace: ["room", "r", "p1"], name: "audio", token: "" };

describe("a track that is refused", () => {
	it("is tried again later and later, and at once after it was live", () => {
		const track = new Track(OFFER);
		const waits = [1, 2, 3, 4, 5, 6, 7].map(() => track.refused(0x2, -1));
		expect(waits).toEqual([300, 600, 1_200, 2_400, 4_800, 5_000, 5_000]);
		expect(track.state).toBe("pending");
		expect(track.refused(0x2, 9_000)).toBe(9_000);

		track.accepted();
		expect(track.refused(0x2, -1)).toBe(300);
	});

	it("is given up when another try would change nothing", () => {
		for (const code of [0x1, 0x3, 0x5, 0x33]) {
			const track = new Track(OFFER);
			expect(track.refused(code, -1)).toBeNull();
			expect(track.state).toBe("refused");
		}
	});

	it("is given up in the end", () => {
		const track = new Track(OFFER);
		let tries = 0;
		while (track.refused(0x10, -1) !== null) tries++;
		expect(tries).toBe(400);
	});
});

describe("the first group", () => {
	it("is the wall clock, and above what was sent before", () => {
		const track = new Track(OFFER);
		expect(Math.abs(track.firstGroup() - Date.now() / 1000)).toBeLessThan(2);
		track.groupMin = 9e9;
		expect(track.firstGroup()).toBe(9e9);
	});
});

describe("the end of a session", () => {
	it("is named by its code", () => {
		expect(failure(null)).toBe("lost");
		expect(failure(0)).toBe("lost");
		expect(failure(0x2)).toBe("unauthorized");
		expect(failure(0x18)).toBe("unauthorized");
		expect(failure(0x15)).toBe("version");
		expect(failure(0x3)).toBe("protocol");
	});

	it("is followed by longer and longer waits, five seconds at most", () => {
		for (let attempt = 1; attempt < 40; attempt++) {
			const full = Math.min(5_000, 250 * 2 ** (attempt - 1));
			const wait = backoff(attempt);
			expect(wait).toBeGreaterThanOrEqual(full / 2);
			expect(wait).toBeLessThanOrEqual(full);
		}
	});
});

describe("buffers", () => {
	it("come back when their length fits", () => {
		const buffers = new Buffers();
		const one = buffers.take(960);
		buffers.give(one);
		expect(buffers.take(480)).toHaveLength(480);
		expect(buffers.take(960)).toBe(one);
		expect(buffers.take(960)).not.toBe(one);
	});
});

it("the catalog says what docs/protocol.md says", () => {
	expect(JSON.parse(CATALOG)).toEqual({
		version: "1",
		tracks: [
			{
				name: "audio",
				packaging: "loc",
				isLive: true,
				role: "audio",
				codec: "opus",
				samplerate: 48_000,
				channelConfig: "1",
				bitrate: 32_000,
				timescale: 48_000,
			},
		],
	});
});
