/** Recent calls, kept in this browser. */
import { Store } from "./store.ts";
import { type Box, Kept, isRecord } from "./storage.ts";
import type { CallRecord, Result } from "./call/state.ts";

/** What fits a screen ten times over; more belongs into a call record on the server. */
const ENTRIES_MAX = 100;

export interface HistoryEntry extends CallRecord {
	/** A missed call that was looked at. */
	readonly seen: boolean;
}

export class History {
	/** Newest first. */
	readonly entries: Store<readonly HistoryEntry[]>;
	readonly #kept: Kept<readonly HistoryEntry[]>;

	constructor(box: Box | null, user: string) {
		this.#kept = new Kept(box, `history.${user}`, checkEntries);
		this.entries = new Store(this.#kept.read() ?? []);
	}

	/** Another tab may have recorded the same call; what happened weighs more than what did not. */
	add(record: CallRecord): void {
		const others = this.#kept.read() ?? this.entries.value;
		const known = others.find((entry) => entry.id === record.id);
		const best = known !== undefined && WEIGHT[known.result] >= WEIGHT[record.result] ? known : record;
		const entry = { ...best, seen: best.result !== "missed" };
		this.#write([entry, ...others.filter((other) => other.id !== record.id)].slice(0, ENTRIES_MAX));
	}

	markSeen(): void {
		if (missed(this.entries.value) === 0) return;
		this.#write(this.entries.value.map((entry) => (entry.seen ? entry : { ...entry, seen: true })));
	}

	clear(): void {
		this.#write([]);
	}

	storageChanged(key: string | null): void {
		if (this.#kept.isKey(key)) this.entries.set(this.#kept.read() ?? []);
	}

	#write(entries: readonly HistoryEntry[]): void {
		this.#kept.write(entries);
		this.entries.set(entries);
	}
}

/** Returns how many missed calls nobody has looked at. */
export function missed(entries: readonly HistoryEntry[]): number {
	return entries.filter((entry) => !entry.seen).length;
}

const WEIGHT: Record<Result, number> = { missed: 0, elsewhere: 1, failed: 2, cancelled: 2, declined: 3, answered: 4 };

function checkEntries(value: unknown): readonly HistoryEntry[] | null {
	if (!Array.isArray(value)) return null;
	return value.filter(isEntry).slice(0, ENTRIES_MAX);
}

function isEntry(value: unknown): value is HistoryEntry {
	if (!isRecord(value) || !isRecord(value["peer"]) || !isRecord(value["outcome"])) return false;
	const { id, at, result, direction, seen } = value;
	return (
		typeof id === "string" &&
		typeof at === "number" &&
		typeof seen === "boolean" &&
		typeof result === "string" &&
		Object.hasOwn(WEIGHT, result) &&
		(direction === "in" || direction === "out")
	);
}
