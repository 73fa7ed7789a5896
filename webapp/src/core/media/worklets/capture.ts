/** The microphone's end: frames of 20 ms to the Worker, level and hints to the page. */

import {
	type CaptureControl,
	type CaptureOrder,
	type CaptureReport,
	type CapturedFrame,
	FRAME_SAMPLES,
	SAMPLE_RATE,
} from "../messages.ts";
import { BurstDetector } from "./bursts.ts";
import { Framer, isSpeech, levelDb, levelOctet } from "./framer.ts";
import { scope } from "./scope.ts";

/** Buffers kept for reuse: what is on its way between here and the Worker, and some. */
const POOL_FRAMES_MAX = 16;
/** Frames between two reports of the level: ten a second. */
const LEVEL_FRAMES = 5;
/** 300 ms of speech out of the last second make "you are muted". */
const SPEECH_FRAMES = 15;
const SPEECH_WINDOW_FRAMES = 50;
/** At most one hint in this time. */
const HINT_SAMPLES = 5 * SAMPLE_RATE;

class Capture extends scope.AudioWorkletProcessor {
	#worker: MessagePort | null = null;
	#sending = false;
	#hint = false;
	#alive = true;
	#bursts: BurstDetector | null = null;
	readonly #pool: Float32Array<ArrayBuffer>[] = [];
	readonly #framer = new Framer(
		() => this.#pool.pop() ?? new Float32Array(FRAME_SAMPLES),
		(frame, at) => this.#frame(frame, at),
	);
	#loudest = -127;
	#frames = 0;
	#speech = 0;
	#window = 0;
	#hintAt = -HINT_SAMPLES;

	constructor() {
		super();
		this.port.onmessage = ({ data }: MessageEvent<CaptureControl>) => this.#control(data);
	}

	process([input]: Float32Array[][]): boolean {
		const samples = input?.[0];
		if (samples === undefined) return this.#alive;
		this.#bursts?.push(samples, scope.currentFrame);
		this.#framer.push(samples, scope.currentFrame);
		return this.#alive;
	}

	#control(order: CaptureControl): void {
		switch (order.type) {
			case "worker":
				this.#worker = order.port;
				order.port.onmessage = ({ data }: MessageEvent<CaptureOrder>) => this.#order(data);
				return;
			case "probe":
				this.#bursts ??= new BurstDetector((frame) => this.#report({ type: "burst", frame }));
				return;
			case "stop":
				this.#alive = false;
				return;
		}
	}

	#order(order: CaptureOrder): void {
		switch (order.type) {
			case "sending":
				this.#sending = order.on;
				this.#hint = order.hint;
				return;
			case "used":
				this.#recycle(order.pcm);
				return;
		}
	}

	#frame(pcm: Float32Array<ArrayBuffer>, at: number): void {
		const db = levelDb(pcm);
		this.#meter(db);
		if (!this.#sending || this.#worker === null) {
			if (this.#hint) this.#watchSpeech(db, at);
			this.#recycle(pcm);
			return;
		}
		const frame: CapturedFrame = { pcm, at, level: levelOctet(db) };
		this.#worker.postMessage(frame, [pcm.buffer]);
	}

	#meter(db: number): void {
		this.#loudest = Math.max(this.#loudest, db);
		this.#frames++;
		if (this.#frames < LEVEL_FRAMES) return;
		this.#report({ type: "level", level: this.#loudest });
		this.#frames = 0;
		this.#loudest = -127;
	}

	#watchSpeech(db: number, at: number): void {
		if (isSpeech(db)) this.#speech++;
		this.#window++;
		if (this.#speech >= SPEECH_FRAMES && at - this.#hintAt >= HINT_SAMPLES) {
			this.#hintAt = at;
			this.#report({ type: "muted_speech" });
		}
		if (this.#window < SPEECH_WINDOW_FRAMES) return;
		this.#window = 0;
		this.#speech = 0;
	}

	#recycle(pcm: Float32Array<ArrayBuffer>): void {
		if (this.#pool.length < POOL_FRAMES_MAX && pcm.length === FRAME_SAMPLES) this.#pool.push(pcm);
	}

	#report(report: CaptureReport): void {
		this.port.postMessage(report);
	}
}

scope.registerProcessor("moqrelay-capture", Capture as never);
