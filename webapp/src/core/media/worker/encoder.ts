/** PCM frames in, Opus packets out, by WebCodecs. */

import { type CapturedFrame, FRAME_SAMPLES, SAMPLE_RATE } from "../messages.ts";

/** A packet with what belongs to its frame. */
export interface Packet {
	readonly bytes: Uint8Array<ArrayBuffer>;
	readonly at: number;
	readonly level: number;
	/** When its last sample had been captured, as the Worker saw it: ms of `performance.now`. */
	readonly since: number;
}

/**
 * Never `usedtx`: Chromium squeezes the timestamps of what it left out, Firefox closes the encoder
 * with an error. Silence is cheap enough, and muting sends nothing at all.
 */
const CONFIG: AudioEncoderConfig = {
	codec: "opus",
	sampleRate: SAMPLE_RATE,
	numberOfChannels: 1,
	bitrate: 32_000,
};
const OPUS = { frameDuration: 20_000, useinbandfec: true, packetlossperc: 10 };
/** Tried in this order: not every browser takes the hints. */
const OPUS_CHOICES: readonly object[] = [
	{ ...OPUS, application: "voip", signal: "voice" },
	OPUS,
	{ frameDuration: 20_000 },
];

/** Restarts after errors within {@link RESTART_WINDOW_MS}; beyond, the encoder is given up. */
const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 60_000;
/** Frames inside the encoder; it takes a third of a millisecond for one, so these are stuck. */
const QUEUE_MAX = 10;

export class Encoder {
	#encoder: AudioEncoder | null = null;
	#config: AudioEncoderConfig | null = null;
	/** Frames in the encoder: browsers do not keep our timestamps over gaps, so the order counts. */
	#inside: { at: number; level: number; since: number }[] = [];
	#errors: number[] = [];
	#restarts = 0;
	#failed = false;
	readonly #output: (packet: Packet) => void;
	readonly #fail: (detail: string) => void;

	/** `fail` is told once, when the encoder is given up. */
	constructor(output: (packet: Packet) => void, fail: (detail: string) => void) {
		this.#output = output;
		this.#fail = fail;
	}

	get restarts(): number {
		return this.#restarts;
	}

	/** Chooses the configuration; must be awaited before {@link encode} does anything. */
	async start(): Promise<void> {
		for (const opus of OPUS_CHOICES) {
			const config = { ...CONFIG, opus } as AudioEncoderConfig;
			try {
				if ((await AudioEncoder.isConfigSupported(config)).supported) {
					this.#config = config;
					return;
				}
			} catch {
				// A value it does not know is a TypeError.
			}
		}
		this.#giveUp("Opus is not supported");
	}

	/** Encodes one frame; it is copied. False when it was left out. */
	encode(frame: CapturedFrame): boolean {
		if (this.#config === null || this.#failed) return false;
		if (this.#inside.length >= QUEUE_MAX) return false;
		const data = new AudioData({
			format: "f32-planar",
			sampleRate: SAMPLE_RATE,
			numberOfFrames: FRAME_SAMPLES,
			numberOfChannels: 1,
			timestamp: Math.round((frame.at * 1e6) / SAMPLE_RATE),
			data: frame.pcm,
		});
		this.#inside.push({ at: frame.at, level: frame.level, since: performance.now() });
		try {
			this.#encoder ??= this.#make(this.#config);
			this.#encoder.encode(data);
		} catch (error) {
			this.#broken(error);
		} finally {
			data.close();
		}
		return true;
	}

	close(): void {
		this.#failed = true;
		if (this.#encoder !== null && this.#encoder.state !== "closed") this.#encoder.close();
	}

	#make(config: AudioEncoderConfig): AudioEncoder {
		const encoder = new AudioEncoder({
			output: (chunk) => this.#chunk(chunk),
			error: (error) => {
				if (this.#encoder === encoder) this.#broken(error);
			},
		});
		encoder.configure(config);
		return encoder;
	}

	#chunk(chunk: EncodedAudioChunk): void {
		const frame = this.#inside.shift();
		if (frame === undefined) return; // The look-ahead after a flush belongs to no frame.
		const bytes = new Uint8Array(chunk.byteLength);
		chunk.copyTo(bytes);
		this.#output({ bytes, ...frame });
	}

	/** The next frame makes a new encoder, a few times a minute. */
	#broken(error: unknown): void {
		if (this.#failed) return;
		if (this.#encoder !== null && this.#encoder.state !== "closed") this.#encoder.close();
		this.#encoder = null;
		this.#inside = [];
		this.#restarts++;
		const now = performance.now();
		this.#errors = [...this.#errors.filter((at) => now - at < RESTART_WINDOW_MS), now];
		if (this.#errors.length > RESTARTS_MAX) this.#giveUp(String(error));
	}

	#giveUp(detail: string): void {
		this.#failed = true;
		this.#fail(`encoder: ${detail}`);
	}
}
