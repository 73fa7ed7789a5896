/** What the browser keeps for the page. Broken or forbidden storage costs the memory, never the phone. */

/** What is used of `localStorage`. */
export interface Box {
	getItem(key: string): string | null;
	setItem(key: string, value: string): void;
	removeItem(key: string): void;
}

const PREFIX = "moqrelay.";

/** A value under a name. `check` returns null for what it does not know, such as an older version's. */
export class Kept<T> {
	constructor(
		private readonly box: Box | null,
		private readonly name: string,
		private readonly check: (value: unknown) => T | null,
	) {}

	read(): T | null {
		try {
			const text = this.box?.getItem(PREFIX + this.name) ?? null;
			return text === null ? null : this.check(JSON.parse(text));
		} catch {
			return null;
		}
	}

	write(value: T): void {
		try {
			this.box?.setItem(PREFIX + this.name, JSON.stringify(value));
		} catch {
			// Full or forbidden: the value lives as long as the page.
		}
	}

	clear(): void {
		try {
			this.box?.removeItem(PREFIX + this.name);
		} catch {
			// As above.
		}
	}

	/** Whether a `storage` event of another tab is about this value. */
	isKey(key: string | null): boolean {
		return key === null || key === PREFIX + this.name;
	}
}

/** Returns the box, or null where the browser forbids it. */
export function localBox(): Box | null {
	try {
		return globalThis.localStorage ?? null;
	} catch {
		return null;
	}
}

/** The same for what lives as long as the tab. */
export function tabBox(): Box | null {
	try {
		return globalThis.sessionStorage ?? null;
	} catch {
		return null;
	}
}

export function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
