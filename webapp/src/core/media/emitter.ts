/** Listeners by event. */
export class Emitter<Events> {
	readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

	on<K extends keyof Events>(event: K, listener: (event: Events[K]) => void): () => void {
		const listeners = this.#listeners.get(event) ?? new Set();
		this.#listeners.set(event, listeners.add(listener as (event: never) => void));
		return () => listeners.delete(listener as (event: never) => void);
	}

	/** One listener's exception does not keep the event from the others. */
	emit<K extends keyof Events>(event: K, value: Events[K]): void {
		for (const listener of [...(this.#listeners.get(event) ?? [])]) {
			try {
				(listener as (event: Events[K]) => void)(value);
			} catch (error) {
				reportError(error);
			}
		}
	}
}
