/**
 * How good the way to the server is: a second of the own voice there and back, heard by nobody.
 *
 * The built-in echo hands every packet back, so that what is missing was lost on the way. Without a microphone there is
 * nothing to send, and only the round trip is told.
 */
import type { MediaEngine, Way } from "../core/media/api.ts";
import type { Event, Media } from "../core/schema.ts";
import type { Done } from "../core/signal/line.ts";
import { Store } from "../core/store.ts";

/** From the first packet that came back. */
const MEASURED_MS = 1_000;
/** Until the first one comes back; without a microphone none will. */
const FIRST_MS_MAX = 2_500;
const LOOK_MS = 100;
/** Fewer packets say nothing about loss. */
const PACKETS_MIN = 20;

/** Limits of what is good, and of what can be used. */
const GOOD = { roundTripMs: 150, loss: 0.01 };
const FAIR = { roundTripMs: 400, loss: 0.05 };

export type CheckGrade = "good" | "fair" | "poor";

export interface CheckResult {
	readonly way: Way;
	readonly roundTripMs: number | null;
	/** 0 to 1, or null when nothing was sent. */
	readonly loss: number | null;
	readonly grade: CheckGrade;
}

export type CheckState =
	| { readonly name: "idle" }
	| { readonly name: "running" }
	| { readonly name: "failed" }
	| { readonly name: "done"; readonly result: CheckResult };

export interface CheckOptions {
	readonly engine: MediaEngine;
	readonly request: (request: { type: "call"; to: string } | { type: "hangup"; call: string }) => Promise<Done>;
}

export class NetworkCheck {
	readonly state = new Store<CheckState>({ name: "idle" });
	readonly #options: CheckOptions;
	#call: string | null = null;
	#up: ((media: Media | null) => void) | null = null;

	constructor(options: CheckOptions) {
		this.#options = options;
	}

	async run(): Promise<void> {
		if (this.state.value.name === "running") return;
		this.state.set({ name: "running" });
		const { engine } = this.#options;
		const link = engine.state;
		if (link.name !== "connected") {
			this.state.set({ name: "failed" });
			return;
		}
		const loss = await this.#loss();
		const { roundTripMs } = await engine.stats();
		this.state.set({ name: "done", result: { way: link.way, roundTripMs, loss, grade: gradeOf(roundTripMs, loss) } });
	}

	/** Returns whether the event is about the check's own call, which nobody else has to hear of. */
	event(event: Event): boolean {
		if (!("call" in event) || event.call !== this.#call) return false;
		if (event.type === "up") this.#up?.(event.media);
		if (event.type === "ended") {
			this.#call = null;
			this.#up?.(null);
		}
		return true;
	}

	async #loss(): Promise<number | null> {
		const { engine, request } = this.#options;
		try {
			const { call } = await request({ type: "call", to: "echo" });
			if (call === undefined) return null;
			this.#call = call;
			const media = await this.#answer();
			if (media === null) return null;
			engine.join(media);
			for (const { participant } of media.peers) engine.setGain(media.room, participant, 0);
			const loss = await this.#measure(media.room);
			engine.leave(media.room);
			return loss;
		} catch {
			// No echo here, or too many calls: the round trip is all that can be told.
			return null;
		} finally {
			// Its end comes as an event, and is ours to hear.
			if (this.#call !== null) void request({ type: "hangup", call: this.#call }).catch(() => {});
		}
	}

	#answer(): Promise<Media | null> {
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, FIRST_MS_MAX, null);
			this.#up = (media) => {
				clearTimeout(timer);
				this.#up = null;
				resolve(media);
			};
		});
	}

	async #measure(room: string): Promise<number | null> {
		const began = performance.now();
		let first: number | null = null;
		for (;;) {
			await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
			const { peers } = await this.#options.engine.stats();
			const { received = 0, lost = 0 } = peers.find((peer) => peer.room === room) ?? {};
			const now = performance.now();
			if (received > 0) first ??= now;
			if (first === null ? now - began < FIRST_MS_MAX : now - first < MEASURED_MS) continue;
			return received + lost < PACKETS_MIN ? null : lost / (received + lost);
		}
	}
}

function gradeOf(roundTripMs: number | null, loss: number | null): CheckGrade {
	const within = (limit: typeof GOOD) => (roundTripMs ?? 0) <= limit.roundTripMs && (loss ?? 0) <= limit.loss;
	return within(GOOD) ? "good" : within(FAIR) ? "fair" : "poor";
}
