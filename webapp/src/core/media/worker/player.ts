/** Plays the past of one peer beside the live sound: asks for it, decodes it, gives it to the playout worklet. */

import type { ReplayState } from "../api.ts";
import type { Lines } from "../wasm/lines.ts";
import type { Record } from "../wasm/session.ts";
import type { Buffers } from "./buffers.ts";
import { Decoder } from "./decoder.ts";
import { Pacer } from "./replay.ts";

export interface PlayerOptions {
	/** Its number in the playout worklet, and that of its time line. */
	readonly id: number;
	readonly lines: Lines;
	readonly buffers: Buffers;
	readonly play: (id: number, at: number, pcm: Float32Array<ArrayBuffer>) => void;
	/** `asking` was told when it was made; `idle` and `failed` are the last that is told. */
	readonly state: (state: ReplayState) => void;
}

/** What has not come by now is done without. */
const ASK_MS = 3_000;
const TICK_MS = 20;
/** The jitter buffer still holds the end when the last packet has had its time. */
const TAIL_MS = 200;

export class Player {
	readonly #options: PlayerOptions;
	readonly #pacer = new Pacer();
	readonly #decoder: Decoder;
	#timer: ReturnType<typeof setInterval> | undefined;
	#late: ReturnType<typeof setTimeout> | undefined;
	#playing = false;
	#over = false;

	constructor(options: PlayerOptions) {
		this.#options = options;
		this.#decoder = new Decoder(
			(samples) => options.buffers.take(samples),
			(pcm, at) => options.play(options.id, at, pcm),
			() => this.#end({ name: "failed", reason: "unavailable" }),
		);
		this.#late = setTimeout(() => this.complete(), ASK_MS);
	}

	get id(): number {
		return this.#options.id;
	}

	/** Takes a packet of the past. */
	packet(record: Record): void {
		const at = this.#options.lines.place(this.id, record);
		if (at !== null && !this.#playing) this.#pacer.push(record.bytes, at, record.ticks);
	}

	/** Everything that there is has come. */
	complete(): void {
		clearTimeout(this.#late);
		if (this.#over || this.#playing) return;
		if (this.#pacer.isEmpty) {
			this.#end({ name: "failed", reason: "nothing" });
			return;
		}
		this.#playing = true;
		this.#pacer.start(performance.now());
		this.#options.state({ name: "playing", totalMs: this.#pacer.totalMs });
		this.#timer = setInterval(() => this.#tick(), TICK_MS);
		this.#tick();
	}

	/** The relay does not give it; what came before that is played. */
	refused(): void {
		if (this.#pacer.isEmpty) this.#end({ name: "failed", reason: "unavailable" });
		else this.complete();
	}

	stop(): void {
		this.#end({ name: "idle" });
	}

	#tick(): void {
		const now = performance.now();
		for (const { bytes, at } of this.#pacer.due(now)) this.#decoder.decode(bytes, at);
		if (this.#pacer.isOver(now - TAIL_MS)) this.stop();
	}

	#end(state: ReplayState): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#late);
		clearInterval(this.#timer);
		this.#decoder.close();
		this.#options.lines.end(this.id);
		this.#options.state(state);
	}
}
