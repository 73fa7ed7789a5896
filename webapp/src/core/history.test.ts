import { expect, it } from "vitest";
import type { CallRecord, Result } from "./call/state.ts";
import { History, missed } from "./history.ts";
import { MemoryBox } from "./testing.ts";

it("keeps the newest hundred", () => {
	const box = new MemoryBox();
	const history = new History(box, "anna");

	for (let n = 0; n < 120; n += 1) history.add(record(String(n), "answered"));

	expect(history.entries.value).toHaveLength(100);
	expect(history.entries.value[0]?.id).toBe("119");
	expect(new History(box, "anna").entries.value).toHaveLength(100);
});

it("keeps what happened when two tabs saw the same call", () => {
	const box = new MemoryBox();
	const [one, two] = [new History(box, "anna"), new History(box, "anna")];

	one.add(record("a", "answered"));
	two.add(record("a", "elsewhere"));
	two.add(record("b", "missed"));
	one.add(record("b", "elsewhere"));

	expect(one.entries.value.map(({ id, result }) => [id, result])).toEqual([
		["b", "elsewhere"],
		["a", "answered"],
	]);
});

it("counts missed calls until they are seen", () => {
	const history = new History(new MemoryBox(), "anna");
	history.add(record("a", "missed"));
	history.add(record("b", "missed"));
	history.add(record("c", "answered"));
	expect(missed(history.entries.value)).toBe(2);

	history.markSeen();

	expect(missed(history.entries.value)).toBe(0);
});

it("is each user's own", () => {
	const box = new MemoryBox();
	new History(box, "anna").add(record("a", "answered"));

	expect(new History(box, "bert").entries.value).toEqual([]);
});

it("leaves out what it does not know", () => {
	const box = new MemoryBox();
	new History(box, "anna").add(record("a", "answered"));
	const kept = JSON.parse(box.getItem("moqrelay.history.anna") ?? "[]") as unknown[];
	box.setItem("moqrelay.history.anna", JSON.stringify([7, null, { id: "x", result: "constructor" }, ...kept]));

	expect(new History(box, "anna").entries.value.map((entry) => entry.id)).toEqual(["a"]);
});

function record(id: string, result: Result): CallRecord {
	return {
		id,
		direction: "in",
		peer: { id: "bert", name: "Bert", kind: "browser" },
		at: 1_800_000_000_000,
		durationMs: null,
		result,
		outcome: { kind: "cause", cause: "normal" },
	};
}
