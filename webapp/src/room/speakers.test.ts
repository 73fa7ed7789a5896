import { expect, it } from "vitest";
import { speakersOf } from "./speakers.ts";

it("who speaks is read as the relay writes it", () => {
	expect(speakersOf('{"version":1,"front":"p3","speaking":["p1","p3"],"seats":["p3",null,"p1"]}', 7)).toEqual({ front: "p3", speaking: ["p1", "p3"], at: 7 });
	expect(speakersOf('{"version":1,"speaking":[],"seats":[null]}', 7)).toEqual({ front: null, speaking: [], at: 7 });
});

it("what is something else says nothing", () => {
	const crowd = JSON.stringify({ version: 1, speaking: Array(17).fill("p1") });
	for (const json of ["", "[]", "null", "{}", '{"version":2,"speaking":[]}', '{"version":1,"speaking":"p1"}', '{"version":1,"speaking":[1]}', '{"version":1,"front":3,"speaking":[]}', crowd]) {
		expect(speakersOf(json, 0)).toBeNull();
	}
});
