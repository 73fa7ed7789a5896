/** Cuts a stream of samples into frames of 20 ms and measures them. */

import { FRAME_SAMPLES, SILENCE_DB } from "../messages.ts";

/** Frames louder than this are taken for speech; room noise of a laptop is near -55 dB. */
const SPEECH_DB = -45;

/** Returns the level of `samples` in dB below full scale, [-127, 0] (RFC 6464, section 3). */
export function levelDb(samples: Float32Array): number {
	let energy = 0;
	for (let i = 0; i < samples.length; i++) energy += (samples[i] as number) ** 2;
	// Full scale is a square wave, as in RFC 6465 and the relay's own legs.
	const db = 10 * Math.log10(energy / samples.length);
	return Math.max(SILENCE_DB, Math.min(0, db));
}

export const isSpeech = (db: number): boolean => db > SPEECH_DB;

/** Returns the octet of RFC 6464: -dBov in bits 0–6, bit 7 voice. */
export const levelOctet = (db: number): number => Math.round(-db) | (isSpeech(db) ? 0x80 : 0);

export class Framer {
	#frame: Float32Array<ArrayBuffer>;
	#filled = 0;
	/** Place of the first sample of the frame being filled. */
	#at = 0;
	readonly #take: () => Float32Array<ArrayBuffer>;
	readonly #done: (frame: Float32Array<ArrayBuffer>, at: number) => void;

	/** `take` gives an empty frame, `done` gets each full one and owns it. */
	constructor(
		take: () => Float32Array<ArrayBuffer>,
		done: (frame: Float32Array<ArrayBuffer>, at: number) => void,
	) {
		this.#take = take;
		this.#done = done;
		this.#frame = take();
	}

	/** Takes the samples that begin at `at`, however many. */
	push(samples: Float32Array, at: number): void {
		// What a microphone began before a pause is dropped: its place would be a lie for what follows.
		if (at !== this.#at + this.#filled) {
			this.#filled = 0;
			this.#at = at;
		}
		let read = 0;
		while (read < samples.length) {
			const count = Math.min(samples.length - read, FRAME_SAMPLES - this.#filled);
			for (let i = 0; i < count; i++) this.#frame[this.#filled + i] = samples[read + i] as number;
			read += count;
			this.#filled += count;
			if (this.#filled < FRAME_SAMPLES) break;
			const frame = this.#frame;
			this.#frame = this.#take();
			this.#filled = 0;
			this.#done(frame, this.#at);
			this.#at = at + read;
		}
	}
}
