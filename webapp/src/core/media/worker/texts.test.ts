import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Kind, type Record } from "../wasm/session.ts";
import { Texts, type TextSession } from "./texts.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it("follows those who are wanted, and tells what they say", () => {
	const { texts, told, session, log, key } = bench();
	texts.use(session);

	texts.follow("r", "t", [track("p3"), track("p4")]);
	texts.record(record(Kind.Object, key(1), '[{"M":1}]'));
	texts.follow("r", "t", [track("p4")]);
	texts.record(record(Kind.Object, key(0), "late"));

	expect(log).toEqual(["follow room/r/p3 text", "follow room/r/p4 text", "end"]);
	expect(told).toEqual([["r", "p4", "text", '[{"M":1}]']]);
});

it("asks on the newest session, and again on another one when that is lost", () => {
	const { texts, told, session, log } = bench();
	texts.follow("r", "t", [track("p3")]);
	expect(log).toEqual([]);
	texts.use(session);
	const other = bench();

	texts.use(other.session);
	texts.drop(session);
	texts.record(record(Kind.Object, other.key(0), "x"));

	expect(other.log).toEqual(["follow room/r/p3 text"]);
	expect(told).toEqual([["r", "p3", "text", "x"]]);
});

it("asks who had no words again after half a minute", () => {
	const { texts, session, log, key } = bench();
	texts.use(session);
	texts.follow("r", "t", [track("p3")]);

	texts.record(record(Kind.Refused, key(0)));
	vi.advanceTimersByTime(29_000);
	expect(log).toHaveLength(1);
	vi.advanceTimersByTime(2_000);

	expect(log).toHaveLength(2);
	texts.follow("r", "t", []);
	expect(vi.getTimerCount()).toBe(0);
});

it("asks a room that did not say who speaks again after two seconds", () => {
	const { texts, told, session, log, key } = bench();
	texts.use(session);
	texts.follow("r", "t", [{ participant: "", namespace: ["room", "r"], name: "speakers" }]);

	texts.record(record(Kind.Refused, key(0)));
	vi.advanceTimersByTime(2_000);
	texts.record(record(Kind.Object, key(1), "{}"));

	expect(log).toEqual(["follow room/r speakers", "follow room/r speakers"]);
	expect(told).toEqual([["r", "", "speakers", "{}"]]);
});

function bench() {
	const told: string[][] = [];
	const texts = new Texts(({ room, participant, name, json }) => void told.push([room, participant, name, json]));
	const log: string[] = [];
	const keys: number[] = [];
	const session: TextSession = {
		follow: (key, { namespace, name }) => {
			keys.push(key);
			log.push(`follow ${namespace.join("/")} ${name}`);
			return true;
		},
		endTrack: () => void log.push("end"),
	};
	return { texts, told, session, log, key: (index: number) => keys[index] ?? 0 };
}

const track = (participant: string) => ({ participant, namespace: ["room", "r", participant], name: "text" as const });

const record = (kind: number, id: number, text = ""): Record => ({
	kind,
	id,
	code: 0,
	at: 0,
	group: 0n,
	object: 0n,
	ticks: 0,
	participant: 0,
	bytes: new TextEncoder().encode(text),
});
