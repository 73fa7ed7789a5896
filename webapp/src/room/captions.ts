/** What telephones say, in words: the records of their `text` tracks (docs/protocol.md, "Texts"). */
import { isRecord } from "../core/storage.ts";
import { cleanText } from "./text.ts";

/** A caption stays so long after its last word. */
export const CAPTION_MS = 7_000;
/** Lines at a time: more nobody reads. */
const LINES_MAX = 3;
/** What a line shows of a long text: its end. */
const LINE_CHARS_MAX = 160;

/** One line below the tiles. */
export interface Caption {
	readonly participant: string;
	readonly id: number;
	readonly text: string;
	/** By `Date.now`. */
	readonly at: number;
}

/** Takes an object of a `text` track; returns the lines that are to be seen then, the newest last. */
export function caption(lines: readonly Caption[], participant: string, json: string, at: number): readonly Caption[] {
	let next = lines;
	for (const { id, text } of textsOf(json)) {
		const known = next.find((line) => line.participant === participant && line.id === id);
		if (known?.text === text) continue;
		const line: Caption = { participant, id, text, at };
		// Somebody's next sentence takes the place of the one before.
		next = [...next.filter((other) => other.participant !== participant), line];
	}
	const fresh = fade(next, at);
	return fresh.length > LINES_MAX ? fresh.slice(-LINES_MAX) : fresh;
}

/** Leaves out what has been read. */
export function fade(lines: readonly Caption[], at: number): readonly Caption[] {
	const fresh = lines.filter((line) => at - line.at < CAPTION_MS);
	return fresh.length === lines.length ? lines : fresh;
}

/** Of a group's first object, which repeats what was said before, only the newest record counts. */
function textsOf(json: string): readonly { id: number; text: string }[] {
	let records: unknown;
	try {
		records = JSON.parse(json);
	} catch {
		return [];
	}
	if (!Array.isArray(records)) return [];
	const texts = records.flatMap((record: unknown) => {
		const data = isRecord(record) ? record["data"] : null;
		if (!isRecord(data) || data["type"] !== "text") return [];
		const { id, text } = data;
		if (typeof id !== "number" || typeof text !== "string") return [];
		const clean = cleanText(text).trim();
		return clean === "" ? [] : [{ id, text: clean.length > LINE_CHARS_MAX ? `…${clean.slice(-LINE_CHARS_MAX)}` : clean }];
	});
	return texts.slice(-1);
}
