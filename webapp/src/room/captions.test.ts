import { expect, it } from "vitest";
import { CAPTION_MS, type Caption, caption, fade } from "./captions.ts";

const said = (...texts: [number, string][]) => JSON.stringify(texts.map(([id, text]) => ({ M: 0, data: { type: "text", id, text, final: false } })));

it("a sentence grows in its place, and the next one takes it", () => {
	let lines = caption([], "p3", said([7, "good"]), 0);
	lines = caption(lines, "p4", said([1, "hello"]), 10);
	lines = caption(lines, "p3", said([7, "good morning"]), 20);
	expect(lines.map(({ participant, text }) => [participant, text])).toEqual([
		["p4", "hello"],
		["p3", "good morning"],
	]);

	lines = caption(lines, "p3", said([8, "how are you"]), 30);

	expect(lines.map(({ text }) => text)).toEqual(["hello", "how are you"]);
});

it("of what comes late only the newest is shown, and nothing twice", () => {
	const lines = caption([], "p3", said([5, "before"], [6, "now"]), 0);
	expect(lines.map(({ text }) => text)).toEqual(["now"]);

	expect(caption(lines, "p3", said([6, "now"]), 10)).toBe(lines);
});

it("goes when it has been read", () => {
	const lines = caption([], "p3", said([1, "x"]), 0);

	expect(fade(lines, CAPTION_MS - 1)).toBe(lines);
	expect(fade(lines, CAPTION_MS)).toEqual([]);
});

it("shows the end of what is long, and hostile objects not at all", () => {
	const [line] = caption([], "p3", said([1, `${"a".repeat(500)}end`]), 0);
	expect(line?.text).toMatch(/^…a+end$/);

	for (const json of ["", "{}", "[1]", '[{"data":{"type":"text","id":"1","text":"x"}}]', '[{"data":{"type":"event","name":"x"}}]', '[{"data":{"type":"text","id":1,"text":"\\u202e"}}]']) {
		expect(caption([], "p3", json, 0)).toEqual([]);
	}
	const crowd = Array.from({ length: 9 }, (_, index) => `p${index}`).reduce<readonly Caption[]>((lines, who) => caption(lines, who, said([1, who]), 0), []);
	expect(crowd).toHaveLength(3);
});
