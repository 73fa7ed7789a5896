import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import { Kind, type Record } from "../../core/media/wasm/session.ts";
import type { CatalogTrack } from "./catalog.ts";
import { TICKS_MS, Timeline } from "./timeline.ts";
import { Watched } from "./watched.ts";
import type { Board, Wish } from "./wish.ts";

const TRACKS = (["camera-l", "camera-h"] as const).map(
	(name, rung): CatalogTrack => ({ name, source: "camera", codec: "vp8", width: 320 << rung, height: 180 << rung, framerate: 15, bitrate: 1000 << rung }),
);

beforeEach(() => {
	vi.useFakeTimers();
	vi.stubGlobal("VideoDecoder", Decoder);
	vi.stubGlobal("EncodedVideoChunk", Chunk);
});
afterEach(() => {
	vi.unstubAllGlobals();
	vi.useRealTimers();
});

it("another size takes over as soon as it has caught up, and until then the one that is shown goes on", () => {
	const { watched, shown, small, large, tick } = tile();
	for (let n = 0; n < 10; n += 1) tick(() => small(0));
	watched.take(1, performance.now());

	// A second behind, then a picture closer with each that comes.
	for (let behindMs = 1000; behindMs > 150; behindMs -= 50) {
		tick(() => small(0));
		large(behindMs);
	}
	const before = shown.length;
	tick(() => small(0));
	large(0);
	tick(() => large(0));

	expect(before).toBe(10 + 17);
	expect(shown.slice(before)).toEqual(["small", "large"]);
	expect(watched.stats(performance.now())).toMatchObject({ track: "camera-h", switches: 1 });
});

it("one that does not catch up takes over late rather than never", () => {
	const { watched, shown, small, large, tick } = tile();
	for (let n = 0; n < 10; n += 1) tick(() => small(0));
	watched.take(1, performance.now());

	let waited = 0;
	for (; !shown.includes("large") && waited < 5_000; waited += 66) {
		tick(() => small(0));
		large(400);
	}

	expect(waited).toBeGreaterThan(400 * 8);
	expect(waited).toBeLessThan(4_500);
});

it("one whose place is empty, or stands still, takes over at once", () => {
	const { watched, shown, small, large, tick } = tile();
	tick(() => small(0));
	vi.advanceTimersByTime(3_000);
	watched.take(1, performance.now());

	large(3_500);
	large(0);

	expect(shown).toEqual(["small", "large"]);
	expect(watched.stats(performance.now())).toMatchObject({ track: "camera-h" });
});

/** A tile of 640 pixels with the small size in it; `small` and `large` bring a picture that is so much behind. */
function tile() {
	const shown: string[] = [];
	const wishes = new Map<string, (record: Record) => void>();
	const session = { watch: () => true, askGroup: () => {}, endTrack: () => {} } as unknown as MoqSession;
	let lastKey = 0;
	const board: Board = {
		session,
		join: () => {},
		part: () => {},
		enter: (wish: Wish) => {
			wishes.set(wish.offer.name, (record) => wish.record(record));
			return ++lastKey;
		},
		leave: () => {},
	};
	const watched = new Watched(1, { participant: "p1", source: "camera", namespace: ["room", "r", "p1"] }, { w: 640, h: 360 }, new Timeline(), {
		board,
		token: "",
		picture: (frame) => {
			shown.push(frame.displayWidth === 320 ? "small" : "large");
			watched.taken();
		},
		state: () => {},
		failed: () => {},
		changed: () => {},
	});
	watched.offer({ tracks: TRACKS, decodes: [] });
	watched.take(0, performance.now());
	let group = 0;
	const bring = (name: string, width: number) => (behindMs: number) => {
		group += 1;
		const at = Math.round((10_000 + performance.now() - behindMs) * TICKS_MS);
		wishes.get(name)?.({ kind: Kind.Picture, id: 0, code: 1, at, group: BigInt(group), object: 0n, ticks: 0, participant: 0, bytes: Uint8Array.of(width >> 8, width & 255) });
	};
	const tick = (act: () => void) => {
		vi.advanceTimersByTime(66);
		act();
	};
	return { watched, shown, small: bring("camera-l", 320), large: bring("camera-h", 640), tick };
}

class Chunk {
	readonly timestamp: number;
	readonly data: Uint8Array;
	constructor({ timestamp, data }: { timestamp: number; data: Uint8Array }) {
		this.timestamp = timestamp;
		this.data = data;
	}
}

/** Decodes at once; a picture is as wide as its two bytes say. */
class Decoder {
	readonly #output: (frame: VideoFrame) => void;
	readonly state = "configured";
	readonly decodeQueueSize = 0;
	constructor({ output }: { output: (frame: VideoFrame) => void }) {
		this.#output = output;
	}
	configure(): void {}
	close(): void {}
	decode({ timestamp, data }: Chunk): void {
		const displayWidth = ((data[0] ?? 0) << 8) | (data[1] ?? 0);
		this.#output({ timestamp, displayWidth, displayHeight: 0, close: () => {} } as unknown as VideoFrame);
	}
}
