import { describe, expect, it } from "vitest";
import { Kind, type Record } from "../wasm/session.ts";
import { Pacer, REPLAY_SECONDS_MAX, Seconds } from "./replay.ts";

const FRAME = 960;
const PACKET = Uint8Array.of(1);

const record = (group: number, object: number, ticks = FRAME): Record => ({
	kind: Kind.Packet,
	id: 1,
	code: 0,
	at: 0,
	group: BigInt(group),
	object: BigInt(object),
	ticks,
	participant: 0,
	bytes: PACKET,
});

describe("the last seconds of a track", () => {
	it("are found by the sound that came", () => {
		const seconds = new Seconds();
		expect(seconds.last(10)).toBeNull();
		for (let n = 0; n < 50 * 20; n++) seconds.heard(record(100 + Math.floor(n / 50), n % 50));

		expect(seconds.last(10)).toEqual({ from: { group: 110n, object: 0n }, last: { group: 119n, object: 49n } });
		expect(seconds.last(30)?.from).toEqual({ group: 100n, object: 0n });
	});

	it("are found in tracks of a group for each object too", () => {
		const seconds = new Seconds();
		for (let n = 0; n < 500; n++) seconds.heard(record(n, 0));

		expect(seconds.last(2)?.from).toEqual({ group: 400n, object: 0n });
	});

	it("do not grow for ever", () => {
		const seconds = new Seconds();
		for (let n = 0; n < 50 * 1_000; n++) seconds.heard(record(Math.floor(n / 50), n % 50));

		expect(seconds.last(10_000)?.from).toEqual({ group: BigInt(1_000 - REPLAY_SECONDS_MAX), object: 0n });
	});

	it("begin anew with another publisher, and not with a late packet", () => {
		const seconds = new Seconds();
		for (let n = 0; n < 100; n++) seconds.heard(record(10 + Math.floor(n / 50), n % 50));
		seconds.heard(record(10, 49));
		expect(seconds.last(10)?.last).toEqual({ group: 11n, object: 49n });

		seconds.heard(record(3, 0));

		expect(seconds.last(10)).toEqual({ from: { group: 3n, object: 0n }, last: { group: 3n, object: 0n } });
	});
});

describe("packets of the past", () => {
	it("come in their own time", () => {
		const pacer = new Pacer();
		for (let n = 0; n < 100; n++) pacer.push(PACKET, 5_000 + n * FRAME, FRAME);
		expect(pacer.due(0)).toEqual([]);
		expect(pacer.totalMs).toBe(2_000);

		pacer.start(1_000);
		const given: number[] = [];
		for (let now = 1_000; now < 3_000; now += 20) given.push(pacer.due(now).length);

		expect(given.slice(0, 3)).toEqual([4, 1, 1]);
		expect(given.reduce((sum, count) => sum + count)).toBe(100);
		expect(pacer.isOver(2_999)).toBe(false);
		expect(pacer.isOver(3_000)).toBe(true);
	});

	it("have their silence cut short", () => {
		const pacer = new Pacer();
		pacer.push(PACKET, 0, FRAME);
		pacer.push(PACKET, 48_000 * 60, FRAME);
		pacer.start(0);

		expect(pacer.totalMs).toBe(540);
		expect(pacer.due(520).map(({ at }) => at)).toEqual([0, FRAME + 24_000]);
	});

	it("that go back in time are left out", () => {
		const pacer = new Pacer();
		for (const at of [0, FRAME, 0, FRAME * 2]) pacer.push(PACKET, at, FRAME);

		expect(pacer.totalMs).toBe(60);
	});

	it("may be none", () => {
		const pacer = new Pacer();
		pacer.start(5);

		expect(pacer.isEmpty).toBe(true);
		expect(pacer.due(100)).toEqual([]);
		expect(pacer.isOver(100)).toBe(true);
	});
});
