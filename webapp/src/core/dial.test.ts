import { describe, expect, it } from "vitest";
import { normalize, partyFor, search } from "./dial.ts";
import type { Presence } from "./schema.ts";

const PEOPLE: Presence[] = [
	{ user: "anna", name: "Anna Berg", number: "7001", state: "available" },
	{ user: "bert", name: "Bert Ann", number: "7002", state: "busy" },
	{ user: "zoe", name: "Zoë", state: "offline" },
];

describe("what is typed", () => {
	it.each([
		["7001", "7001"],
		[" 030 / 123-45 67 ", "0301234567"],
		["+49 (0)30 123.456", "+4930123456"],
		["(030) 123", "030123"],
		["tel:+4930123", "+4930123"],
		["*98#", "*98#"],
		["Bert", "bert"],
		["echo", "echo"],
		["70o1", "70o1"],
		["", ""],
	])("%j dials %j", (typed, dialled) => {
		expect(normalize(typed)).toBe(dialled);
	});
});

describe("who is meant", () => {
	it("is found by id, number and name", () => {
		for (const to of ["anna", "7001", "anna berg"]) expect(partyFor(to, PEOPLE)).toMatchObject({ id: "anna", name: "Anna Berg", kind: "browser" });
	});

	it("is a telephone or a service otherwise", () => {
		expect(partyFor("030123", PEOPLE)).toEqual({ id: "030123", name: "030123", number: "030123", kind: "phone" });
		expect(partyFor("milliwatt", PEOPLE)).toMatchObject({ kind: "service" });
	});
});

describe("searching", () => {
	it("puts beginnings before middles", () => {
		expect(search("ann", PEOPLE).map((person) => person.user)).toEqual(["anna", "bert"]);
	});

	it("finds numbers and keeps everybody for nothing", () => {
		expect(search("002", PEOPLE).map((person) => person.user)).toEqual(["bert"]);
		expect(search(" ", PEOPLE)).toHaveLength(3);
		expect(search("nobody", PEOPLE)).toEqual([]);
	});
});
