import { describe, expect, it } from "vitest";
import { reduce } from "./reduce.ts";
import { NO_ROOM, type RoomState } from "./state.ts";
import { joined, person, roster } from "./testing.ts";
import { STRIP_MAX, TILES_MAX, arrange, columns } from "./tiles.ts";
import type { Person } from "./messages.ts";

describe("the tiles", () => {
	it("are one for each person in the order of coming, and one for each screen before them", () => {
		const { large, small } = arrange(inside([person("p1", "Anna"), person("p2", "Bert", { hand: 1 }), person("p3", "Carl", { video: ["camera", "screen"] })]), "grid", null, false);

		expect(large).toBeNull();
		expect(small.map(({ key }) => key)).toEqual(["p3/screen", "p1", "p2", "p3"]);
	});

	it("leave out who waits to be let in", () => {
		const { small } = arrange(inside([person("p1", "Anna"), person("p2", "Bert", { presence: "waiting" })]), "grid", null, false);

		expect(small.map(({ key }) => key)).toEqual(["p1"]);
	});

	it("show large whoever is pinned, else a shared screen, else who spoke last", () => {
		const people = [person("p1", "Anna"), person("p2", "Bert"), person("p3", "Carl", { speaking: true }), person("p4", "Dora", { video: ["screen"] })];
		const without = people.map((one) => ({ ...one, video: [] }));

		expect(arrange(inside(people), "speaker", "p2", false).large?.key).toBe("p2");
		expect(arrange(inside(people), "speaker", null, false).large?.key).toBe("p4/screen");
		expect(arrange(inside(without), "speaker", null, false).large?.key).toBe("p3");
		expect(arrange(inside(people), "grid", "p2", false).large?.key).toBe("p2");
	});

	it("show large whom the relay has in front, and of two who speak the other one where that is ourselves", () => {
		const people = [person("p1", "Anna"), person("p2", "Bert", { speaking: true }), person("p3", "Carl")];
		const front = (participant: string) => reduce(inside(people), { type: "front", participant }).state;

		expect(arrange(front("p3"), "speaker", null, false).large?.key).toBe("p3");
		expect(arrange(front("p1"), "speaker", null, false).large?.key).toBe("p2");
		expect(arrange(front("p9"), "speaker", null, false).large?.key).toBe("p2");
	});

	it("are as many as can be seen: ourselves, who spoke, raised hands first", () => {
		const crowd = Array.from({ length: 60 }, (_, index) => person(`p${index + 1}`, `N${index}`, { ...(index === 50 ? { hand: 1 } : {}), speaking: index === 40 }));

		const { small, hidden } = arrange(inside(crowd), "grid", null, false);

		const keys = small.map(({ key }) => key);
		expect(keys).toHaveLength(TILES_MAX.wide - 1);
		expect(hidden).toBe(60 - keys.length);
		expect(keys).toEqual(expect.arrayContaining(["p1", "p41", "p51"]));
		expect(arrange(inside(crowd), "grid", null, true).small).toHaveLength(TILES_MAX.narrow - 1);
		expect(arrange(inside(crowd), "speaker", null, false).small).toHaveLength(STRIP_MAX - 1);
	});

	it("lie in columns that suit their number", () => {
		expect([1, 2, 3, 4, 6, 9, 16, 25].map((count) => columns(count, false))).toEqual([1, 2, 2, 2, 3, 3, 4, 5]);
		expect([1, 2, 3, 8, 12].map((count) => columns(count, true))).toEqual([1, 1, 2, 2, 3]);
	});
});

function inside(people: Person[]): RoomState {
	const wish = { room: "board", name: "Anna", pin: "", listen: false };
	const asking = reduce(reduce(NO_ROOM, { type: "open", room: "board", key: null }).state, { type: "join", wish, muted: false }).state;
	return reduce(asking, { type: "joined", joined: joined({ roster: roster(people) }) }).state;
}
