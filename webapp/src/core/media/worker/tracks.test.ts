import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Buffers } from "./buffers.ts";
import { failure } from "./link.ts";
import type { MoqSession } from "./moq-session.ts";
import { catalog, type Hold, Track } from "./tracks.ts";

const hold = (key: number): Hold => ({ session: {} as MoqSession, key, live: false });
const OFFER = { namespace: ["room", "r", "p1"], name: "audio", token: "" };

describe("a track that is refused", () => {
	it("is tried again later and later, and at once after it was live", () => {
		const track = new Track(OFFER);
		const waits = [1, 2, 3, 4, 5, 6, 7].map(() => track.refused(0x2, -1));
		expect(waits).toEqual([300, 600, 1_200, 2_400, 4_800, 5_000, 5_000]);
		expect(track.state).toBe("pending");
		expect(track.refused(0x2, 9_000)).toBe(9_000);

		track.accepted(hold(1));
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

describe("a track on two sessions", () => {
	it("lives as long as one of them has it", () => {
		const track = new Track(OFFER);
		const [older, newer] = [hold(1), hold(2)];
		track.holds = [older, newer];
		track.accepted(older);
		expect(track.refused(0x1, -1)).toBeNull();
		expect(track.state).toBe("live");

		track.accepted(newer);
		track.release(older);
		expect(track.state).toBe("live");
		track.release(newer);
		expect(track.state).toBe("pending");
	});
});

describe("objects of ours", () => {
	beforeEach(() => vi.useFakeTimers({ now: 1_800_000_000_000 }));
	afterEach(() => vi.useRealTimers());

	it("are fifty in a group, and groups begin with the wall clock", () => {
		const track = new Track(OFFER);
		expect(track.next).toEqual({ group: 1_800_000_000, object: 0 });

		for (let n = 0; n < 51; n++) track.advance();

		expect(track.next).toEqual({ group: 1_800_000_001, object: 1 });
	});

	it("go on where they were while any session has the track", () => {
		const track = new Track(OFFER);
		const [older, newer] = [hold(1), hold(2)];
		track.holds = [older, newer];
		track.advance();

		track.release(older);
		expect(track.next).toEqual({ group: 1_800_000_000, object: 1 });
	});

	it("begin a group above all others, and not below the wall clock, after a break", () => {
		const track = new Track(OFFER);
		const only = hold(1);
		track.holds = [only];
		for (let n = 0; n < 510; n++) track.advance();
		track.release(only);
		expect(track.next).toEqual({ group: 1_800_000_011, object: 0 });

		vi.setSystemTime(1_800_000_500_000);
		const renamed = new Track(OFFER);
		renamed.follow(track);
		expect(renamed.next).toEqual({ group: 1_800_000_500, object: 0 });
	});
});

describe("the end of a session", () => {
	it("is named by its code", () => {
		expect(failure(null, true)).toBe("lost");
		expect(failure(null, false)).toBe("unreachable");
		expect(failure(0, true)).toBe("lost");
		expect(failure(0x2, true)).toBe("unauthorized");
		expect(failure(0x18, true)).toBe("unauthorized");
		expect(failure(0x15, false)).toBe("version");
		expect(failure(0x10, true)).toBe("going_away");
		expect(failure(0x3, true)).toBe("protocol");
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
	expect(JSON.parse(catalog())).toEqual({
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
