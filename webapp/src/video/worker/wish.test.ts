import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import { Kind, type Record } from "../../core/media/wasm/session.ts";
import { type Board, Wish } from "./wish.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("is asked on each session, there before it ends here", () => {
	const { board, wish, log, move } = make();

	wish.start();
	move("two");
	move(null);
	move("three");

	expect(log).toEqual(["ask one 1", "ask two 2", "end one 1", "interrupted", "end two 2", "interrupted", "ask three 3"]);
	expect([...board.keys]).toEqual([3]);
});

it("is asked again after a refusal that may pass, and not after one that lasts", () => {
	const { wish, log } = make();
	wish.start();

	wish.record(record(Kind.Refused, 0x10, "not yet"));
	vi.advanceTimersByTime(10_000);
	wish.record(record(Kind.Refused, 0x1, "never"));
	vi.advanceTimersByTime(60_000);

	expect(log).toEqual(["ask one 1", "interrupted", "ask one 2", "interrupted", "refused 1 never"]);
});

it("comes back when the track ended, until it is stopped", () => {
	const { board, wish, log } = make();
	wish.start();
	wish.record(record(Kind.Ended, 0, ""));
	vi.advanceTimersByTime(10_000);

	wish.stop();
	vi.advanceTimersByTime(60_000);

	expect(log).toEqual(["ask one 1", "interrupted", "ask one 2", "end one 2", "interrupted"]);
	expect(board.wishes.size + board.keys.size).toBe(0);
});

it("passes on what else is said", () => {
	const { wish, log } = make();
	wish.start();

	wish.record(record(Kind.Live, 0, ""));
	wish.record(record(Kind.Cut, 0, ""));

	expect(log).toEqual(["ask one 1", `told ${Kind.Live}`, `told ${Kind.Cut}`]);
});

function make() {
	const log: string[] = [];
	const session = (name: string) => ({ name, endTrack: (key: number) => log.push(`end ${name} ${key}`) }) as unknown as MoqSession;
	const board = {
		session: session("one") as MoqSession | null,
		wishes: new Set<Wish>(),
		keys: new Set<number>(),
		next: 1,
		join: (wish: Wish) => board.wishes.add(wish),
		part: (wish: Wish) => board.wishes.delete(wish),
		enter: () => {
			board.keys.add(board.next);
			return board.next++;
		},
		leave: (key: number) => board.keys.delete(key),
	};
	const wish = new Wish(board as unknown as Board, { namespace: ["room", "r", "p1"], name: "camera-l", token: "" }, {
		ask: (on, key) => log.push(`ask ${(on as unknown as { name: string }).name} ${key}`) > 0,
		told: ({ kind }) => log.push(`told ${kind}`),
		interrupted: () => log.push("interrupted"),
		refused: (detail) => log.push(`refused ${detail}`),
	});
	const move = (name: string | null) => {
		board.session = name === null ? null : session(name);
		wish.start();
	};
	return { board, wish, log, move };
}

function record(kind: number, code: number, words: string): Record {
	const bytes = new TextEncoder().encode(words);
	return { kind, id: 1, code, at: -1, group: 0n, object: 0n, ticks: 0, participant: 0, bytes };
}
