/** Who speaks in a room, as the relay says it: the track `speakers` (docs/protocol.md, "Seats"). */
import { isRecord } from "../core/storage.ts";

/** What is said of people who speak comes again every 5 s: older than twice that, and a bit, it holds no more. */
export const SPEAKERS_MS = 12_000;
/** More seats no room has. */
const SPEAKING_MAX = 16;
const VERSION = 1;

export interface Speakers {
	/** Who is loudest of those who speak, or spoke last; null: nobody has. */
	readonly front: string | null;
	readonly speaking: readonly string[];
	/** When it came, by `performance.now`. */
	readonly at: number;
}

/** Returns what an object of the track says, or null when it is none. */
export function speakersOf(json: string, at: number): Speakers | null {
	let told: unknown;
	try {
		told = JSON.parse(json);
	} catch {
		return null;
	}
	if (!isRecord(told) || told["version"] !== VERSION) return null;
	const { front = null, speaking } = told;
	if (front !== null && typeof front !== "string") return null;
	if (!Array.isArray(speaking) || speaking.length > SPEAKING_MAX || !speaking.every((who) => typeof who === "string")) return null;
	return { front, speaking, at };
}
