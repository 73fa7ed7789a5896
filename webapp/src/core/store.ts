/** A value that says when it changes. The user interface makes signals of them. */
export class Store<T> {
	#value: T;
	readonly #listeners = new Set<(value: T) => void>();

	constructor(value: T) {
		this.#value = value;
	}

	get value(): T {
		return this.#value;
	}

	/** Tells the listeners, unless the value is the same. */
	set(value: T): void {
		if (Object.is(value, this.#value)) return;
		this.#value = value;
		for (const listener of [...this.#listeners]) listener(value);
	}

	update(change: (value: T) => T): void {
		this.set(change(this.#value));
	}

	/** Calls `listener` for each change; returns what takes it off again. */
	subscribe(listener: (value: T) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}
}
