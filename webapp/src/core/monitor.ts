/** Asks the media engine once a second how the call in front, or the room, sounds. */
import type { MediaEngine, MediaStats } from "./media/api.ts";
import { NO_QUALITY, type Quality, QualityMeter } from "./quality.ts";
import { Store } from "./store.ts";

const PERIOD_MS = 1_000;

export class Monitor {
	readonly quality = new Store<Quality>(NO_QUALITY);
	readonly stats = new Store<MediaStats | null>(null);
	readonly #engine: MediaEngine;
	readonly #front: () => string;
	#meter = new QualityMeter();
	#room = "";
	#timer: ReturnType<typeof setInterval> | undefined;

	/** `front` names the room of the call in front, or the room of many, or is empty. */
	constructor(engine: MediaEngine, front: () => string) {
		this.#engine = engine;
		this.#front = front;
	}

	watch(on: boolean): void {
		if (on) {
			this.#timer ??= setInterval(() => void this.#measure(), PERIOD_MS);
			return;
		}
		clearInterval(this.#timer);
		this.#timer = undefined;
		this.#room = "";
		this.quality.set(NO_QUALITY);
		this.stats.set(null);
	}

	async #measure(): Promise<void> {
		const room = this.#front();
		const stats = await this.#engine.stats().catch(() => null);
		if (stats === null || this.#timer === undefined) return;
		if (room !== this.#room) {
			this.#meter = new QualityMeter();
			this.#room = room;
		}
		this.stats.set(stats);
		this.quality.set(this.#meter.take(stats, room, Date.now()));
	}
}
