/** Opus packets of one peer in, PCM out, by WebCodecs. */

import { SAMPLE_RATE } from "../messages.ts";

const CONFIG: AudioDecoderConfig = { codec: "opus", sampleRate: SAMPLE_RATE, numberOfChannels: 1 };

/** As in the encoder: a peer that sends garbage must not keep us busy making decoders. */
const RESTARTS_MAX = 20;
const RESTART_WINDOW_MS = 60_000;
/** Outputs between two looks whether the decoder swallowed packets without a word: a second. */
const CHECK_EVERY = 50;
/** Packets inside the decoder: a second. A burst beyond it is older than anyone wants to hear. */
const QUEUE_MAX = 50;

export class Decoder {
	#decoder: AudioDecoder | null = null;
	/** Places of the packets in the decoder: browsers count their own timestamps on over gaps. */
	#inside: number[] = [];
	/** The least number of places that were left over after an output, lately. */
	#surplus = Number.POSITIVE_INFINITY;
	#outputs = 0;
	#errors: number[] = [];
	#restarts = 0;
	#failed = false;
	readonly #buffer: (samples: number) => Float32Array<ArrayBuffer>;
	readonly #output: (pcm: Float32Array<ArrayBuffer>, at: number) => void;
	readonly #fail: (detail: string) => void;

	/** `buffer` gives an array of that many samples, `output` gets it filled and owns it. */
	constructor(
		buffer: (samples: number) => Float32Array<ArrayBuffer>,
		output: (pcm: Float32Array<ArrayBuffer>, at: number) => void,
		fail: (detail: string) => void,
	) {
		this.#buffer = buffer;
		this.#output = output;
		this.#fail = fail;
	}

	get restarts(): number {
		return this.#restarts;
	}

	/** Decodes a packet whose sound belongs at `at`, 1/48000 s. */
	decode(packet: Uint8Array<ArrayBuffer>, at: number): void {
		if (this.#failed || this.#inside.length >= QUEUE_MAX) return;
		this.#inside.push(at);
		try {
			this.#decoder ??= this.#make();
			const timestamp = Math.round((at * 1e6) / SAMPLE_RATE);
			this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp, data: packet }));
		} catch (error) {
			this.#broken(error);
		}
	}

	close(): void {
		this.#failed = true;
		if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
	}

	#make(): AudioDecoder {
		const decoder = new AudioDecoder({
			output: (data) => this.#decoded(data),
			error: (error) => {
				if (this.#decoder === decoder) this.#broken(error);
			},
		});
		decoder.configure(CONFIG);
		return decoder;
	}

	#decoded(data: AudioData): void {
		const at = this.#inside.shift();
		if (at !== undefined && !this.#failed) {
			const pcm = this.#buffer(data.numberOfFrames);
			data.copyTo(pcm, { planeIndex: 0, format: "f32-planar" });
			this.#output(pcm, at);
		}
		data.close();
		this.#check();
	}

	/** Places whose packets will never come out would shift all that follow. */
	#check(): void {
		const queued = this.#decoder?.decodeQueueSize ?? 0;
		this.#surplus = Math.min(this.#surplus, Math.max(0, this.#inside.length - queued));
		this.#outputs++;
		if (this.#outputs < CHECK_EVERY) return;
		this.#inside.splice(0, this.#surplus);
		this.#outputs = 0;
		this.#surplus = Number.POSITIVE_INFINITY;
	}

	/** The next packet makes a new decoder, some times a minute. */
	#broken(error: unknown): void {
		if (this.#failed) return;
		if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = null;
		this.#inside = [];
		this.#restarts++;
		const now = performance.now();
		this.#errors = [...this.#errors.filter((at) => now - at < RESTART_WINDOW_MS), now];
		if (this.#errors.length <= RESTARTS_MAX) return;
		this.#failed = true;
		this.#fail(`decoder: ${String(error)}`);
	}
}
