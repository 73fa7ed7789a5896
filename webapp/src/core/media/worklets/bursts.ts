/** Finds where sound begins and ends: for measurements of delay and gaps. */

/** 100 ms: a shorter pause is no pause between bursts. */
const PAUSE_SAMPLES = 4_800;
/** 10 ms: longer than any zero crossing of speech or tones. */
const GAP_SAMPLES = 480;
/** About -30 dB below full scale. */
const LOUD = 0.03;

export class BurstDetector {
	#quiet = PAUSE_SAMPLES + 1;
	#began = -1;
	readonly #burst: (frame: number) => void;
	readonly #sound: (from: number, to: number) => void;

	/** `burst` is told where each burst begins, `sound` each stretch without a gap once it is over. */
	constructor(burst: (frame: number) => void, sound: (from: number, to: number) => void = () => {}) {
		this.#burst = burst;
		this.#sound = sound;
	}

	/** Takes the samples that begin at `frame`; calls must not leave any out. */
	push(samples: Float32Array, frame: number): void {
		for (let i = 0; i < samples.length; i++) {
			if (Math.abs(samples[i] as number) > LOUD) this.#loud(frame + i);
			else this.#silent(frame + i);
		}
	}

	#loud(frame: number): void {
		if (this.#quiet > PAUSE_SAMPLES) this.#burst(frame);
		if (this.#began < 0) this.#began = frame;
		this.#quiet = 0;
	}

	#silent(frame: number): void {
		this.#quiet++;
		if (this.#quiet === GAP_SAMPLES && this.#began >= 0) {
			this.#sound(this.#began, frame + 1 - GAP_SAMPLES);
			this.#began = -1;
		}
	}
}
