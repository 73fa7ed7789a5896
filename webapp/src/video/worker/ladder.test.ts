import { expect, it } from "vitest";
import { fitting, Ladder, type View } from "./ladder.ts";

const CAMERA = [
	{ width: 320, height: 180, bitrate: 95_000 },
	{ width: 640, height: 360, bitrate: 415_000 },
	{ width: 1280, height: 720, bitrate: 1_240_000 },
];
const SCREEN = [
	{ width: 1280, height: 800, bitrate: 160_000 },
	{ width: 1280, height: 800, bitrate: 920_000 },
];
const LARGE = { w: 1280, h: 720 };

const camera = (change: Partial<View> = {}): View => ({ id: 1, rank: 1, rungs: CAMERA, ...LARGE, lateMs: 20, cuts: 0, ...change });
const screen = (change: Partial<View> = {}): View => ({ id: 2, rank: 0, rungs: SCREEN, ...LARGE, lateMs: 20, cuts: 0, ...change });

/** Looks every 200 ms from `from` to `to`; returns the last choice. */
function run(ladder: Ladder, views: View[], from: number, to: number): number[] {
	let chosen = new Map<number, number>();
	for (let now = from; now <= to; now += 200) chosen = ladder.choose(views, now);
	return views.map(({ id }) => chosen.get(id) ?? Number.NaN);
}

it("the size follows the tile", () => {
	expect(fitting({ rungs: CAMERA, w: 200, h: 112 })).toBe(0);
	expect(fitting({ rungs: CAMERA, w: 380, h: 214 })).toBe(0);
	expect(fitting({ rungs: CAMERA, w: 600, h: 338 })).toBe(1);
	expect(fitting({ rungs: CAMERA, w: 3000, h: 2000 })).toBe(2);
	expect(fitting({ rungs: CAMERA, w: 0, h: 0 })).toBe(-1);
	expect(fitting({ rungs: [], w: 100, h: 100 })).toBe(-1);
	expect(fitting({ rungs: SCREEN, w: 300, h: 200 })).toBe(1);
});

it("a tile that grows or shrinks gets another size at once", () => {
	const ladder = new Ladder();

	expect(run(ladder, [camera({ w: 200, h: 112 })], 0, 0)).toEqual([0]);
	expect(run(ladder, [camera()], 200, 200)).toEqual([2]);
	expect(run(ladder, [camera({ w: 0, h: 0 })], 400, 400)).toEqual([-1]);
	expect(run(ladder, [camera()], 600, 600)).toEqual([2]);
});

it("one late picture changes nothing", () => {
	const ladder = new Ladder();
	run(ladder, [camera()], 0, 1_000);

	expect(run(ladder, [camera({ lateMs: 900 })], 1_200, 1_400)).toEqual([2]);
	expect(run(ladder, [camera()], 1_600, 10_000)).toEqual([2]);
});

it("on a narrow line the camera shrinks before the screen, step by step", () => {
	const ladder = new Ladder();
	run(ladder, [camera(), screen()], 0, 1_000);
	const late = [camera({ lateMs: 500 }), screen({ lateMs: 500 })];

	expect(run(ladder, late, 1_200, 1_800)).toEqual([1, 1]);
	expect(run(ladder, late, 2_000, 2_400)).toEqual([0, 1]);
	expect(run(ladder, late, 2_600, 3_000)).toEqual([0, 0]);
	expect(run(ladder, late, 3_200, 20_000)).toEqual([0, 0]);
});

it("a group that was given up counts at once", () => {
	const ladder = new Ladder();
	run(ladder, [camera()], 0, 2_000);

	expect(run(ladder, [camera({ cuts: 1 })], 2_200, 2_200)).toEqual([0]);
});

it("all whose groups were given up fall to the smallest size together", () => {
	const ladder = new Ladder();
	run(ladder, [camera(), screen()], 0, 2_000);

	expect(run(ladder, [camera({ cuts: 1 }), screen({ cuts: 1 })], 2_200, 2_200)).toEqual([0, 0]);
});

it("what comes far too late falls to the smallest size in one step", () => {
	const ladder = new Ladder();
	run(ladder, [camera()], 0, 2_000);

	expect(run(ladder, [camera({ lateMs: 1_500 })], 2_200, 2_600)).toEqual([0]);
});

it("it goes up again after a while, one at a time, the screen first", () => {
	const ladder = new Ladder();
	const late = [camera({ lateMs: 800 }), screen({ lateMs: 800 })];
	run(ladder, [camera(), screen()], 0, 200);
	run(ladder, late, 400, 5_000);
	const calm = [camera(), screen()];

	expect(run(ladder, calm, 5_200, 12_800)).toEqual([0, 0]);
	expect(run(ladder, calm, 13_000, 14_000)).toEqual([0, 1]);
	expect(run(ladder, calm, 14_200, 20_000)).toEqual([1, 1]);
	expect(run(ladder, calm, 20_200, 26_000)).toEqual([2, 1]);
});

it("a step up that was one too many is tried less and less often", () => {
	const ladder = new Ladder();
	run(ladder, [camera()], 0, 200);
	const ups: number[] = [];
	let before = 2;
	for (let now = 400; now < 400_000; now += 200) {
		// The line carries the middle size, not the large one.
		const at = ladder.choose([camera({ lateMs: before === 2 ? 500 : 10 })], now).get(1) ?? 0;
		if (at > before) ups.push(now);
		before = at;
	}

	expect(ups.length).toBeGreaterThan(2);
	const waits = ups.slice(1).map((at, i) => at - (ups[i] ?? 0));
	expect(waits.every((wait, i) => i === 0 || wait >= (waits[i - 1] ?? 0))).toBe(true);
	expect(waits.at(-1)).toBeGreaterThan(100_000);
});

it("who comes while the line is full begins at the bottom", () => {
	const ladder = new Ladder();
	run(ladder, [camera()], 0, 200);
	run(ladder, [camera({ lateMs: 800 })], 400, 1_000);

	expect(run(ladder, [camera({ id: 7 })], 1_200, 1_400)).toEqual([0]);
});
