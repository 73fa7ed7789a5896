import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { epochNow } from "./messages.ts";
import { Tile, type TileOwner } from "./tile.ts";

let frames: (() => void)[] = [];
let shown: string[] = [];
let taken = 0;
let delay: number | null = null;

beforeEach(() => {
	frames = [];
	shown = [];
	taken = 0;
	delay = null;
	vi.stubGlobal("document", { visibilityState: "visible" });
	vi.stubGlobal("requestAnimationFrame", (draw: () => void) => frames.push(draw));
	vi.stubGlobal("cancelAnimationFrame", () => {});
});
afterEach(() => vi.unstubAllGlobals());

it("draws the newest picture that is due, and gives each one back", () => {
	const { tile, picture } = make();
	picture("a");
	picture("b");

	screen();

	expect(shown).toEqual(["b"]);
	expect(taken).toBe(2);
	expect(tile.figures.dropped).toBe(1);
});

it("holds a picture until its voice is played", () => {
	const { picture } = make();
	delay = 200;
	picture("due", epochNow() - 300);
	picture("later", epochNow());

	screen();
	expect(shown).toEqual(["due"]);
	screen();
	expect(taken).toBe(1);

	delay = 0;
	screen();
	expect(shown).toEqual(["due", "later"]);
	expect(taken).toBe(2);
});

it("does not wait for a voice of another time", () => {
	const { picture } = make();
	delay = 40;
	picture("now", epochNow() + 60_000);

	screen();

	expect(shown).toEqual(["now"]);
});

it("keeps a few pictures at most", () => {
	const { tile, picture } = make();
	delay = 10_000;
	for (const name of ["a", "b", "c", "d", "e"]) picture(name, epochNow() - 9_800);

	expect(taken).toBe(2);
	expect(tile.figures.dropped).toBe(2);
});

it("draws at once while nobody looks, and nothing after its end", () => {
	const { tile, picture, resized } = make();
	vi.stubGlobal("document", { visibilityState: "hidden" });
	picture("floating");
	expect(shown).toEqual(["floating"]);
	expect(resized).toEqual([[640, 360]]);

	tile.stop();
	picture("over");
	expect(shown).toEqual(["floating"]);
	expect(taken).toBe(2);
});

function screen(): void {
	for (const draw of frames.splice(0)) draw();
}

function make() {
	const resized: number[][] = [];
	const canvas = { width: 0, height: 0, getContext: () => ({ drawImage: ({ name }: { name: string }) => shown.push(name) }) };
	const owner: TileOwner = {
		voiceDelayMs: () => delay,
		taken: () => taken++,
		resize: () => {},
		resized: (width, height) => resized.push([width, height]),
		stop: () => {},
	};
	const tile = new Tile(canvas as unknown as HTMLCanvasElement, owner);
	const picture = (name: string, voiceAt: number | null = null) => {
		const frame = { name, displayWidth: 640, displayHeight: 360, close: () => {} } as unknown as VideoFrame;
		tile.picture({ frame, arrivedAt: epochNow(), voiceAt });
	};
	return { tile, picture, resized };
}
