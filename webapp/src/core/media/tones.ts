/** Local tones by WebAudio: ringing, ring back, busy, call waiting, the keys of the dial pad. */

import type { Tone } from "./api.ts";

/** Low and high frequency of each key, Hz (ITU-T Q.23). */
const KEYS: Readonly<Record<string, readonly [number, number]>> = {
	"1": [697, 1209],
	"2": [697, 1336],
	"3": [697, 1477],
	A: [697, 1633],
	"4": [770, 1209],
	"5": [770, 1336],
	"6": [770, 1477],
	B: [770, 1633],
	"7": [852, 1209],
	"8": [852, 1336],
	"9": [852, 1477],
	C: [852, 1633],
	"*": [941, 1209],
	"0": [941, 1336],
	"#": [941, 1477],
	D: [941, 1633],
};

/** What is sounded together, and when: [seconds on, seconds off] over and over. */
interface Pattern {
	readonly frequencies: readonly number[];
	readonly cadence: readonly (readonly [number, number])[];
	readonly gain: number;
	/** Missing: until stopped. */
	readonly seconds?: number;
}

const PATTERNS: Readonly<Record<Tone, Pattern>> = {
	// Two notes that warble: heard through noise, and unlike any tone of the network.
	ring: { frequencies: [440, 554], cadence: [[0.4, 0.2], [0.4, 2]], gain: 0.25 },
	// European tones (ITU-T E.180): 425 Hz, 1 s on and 4 s off; busy half a second each.
	ringback: { frequencies: [425], cadence: [[1, 4]], gain: 0.1 },
	busy: { frequencies: [425], cadence: [[0.48, 0.48]], gain: 0.1 },
	waiting: { frequencies: [425], cadence: [[0.2, 0.2], [0.2, 5]], gain: 0.1 },
	test: { frequencies: [440], cadence: [[1, 0]], gain: 0.2, seconds: 1 },
};

/** Rise and fall of each tone: no clicks. */
const EDGE_SECONDS = 0.005;
const KEY_SECONDS = 0.15;
/** Cadences are laid out this far ahead, and again when half of it is over. */
const HORIZON_SECONDS = 60;

export class Tones {
	readonly #context: AudioContext;
	readonly #output: AudioNode;
	#playing: { stop(): void } | null = null;

	constructor(context: AudioContext, output: AudioNode) {
		this.#context = context;
		this.#output = output;
	}

	start(tone: Tone): void {
		this.stop();
		this.#playing = this.#play(PATTERNS[tone]);
	}

	stop(): void {
		this.#playing?.stop();
		this.#playing = null;
	}

	/** Unknown keys are silent. */
	key(digit: string): void {
		const frequencies = KEYS[digit.toUpperCase()];
		if (frequencies !== undefined) {
			this.#play({ frequencies, cadence: [[KEY_SECONDS, 0]], gain: 0.1, seconds: KEY_SECONDS });
		}
	}

	#play(pattern: Pattern): { stop(): void } {
		const context = this.#context;
		const gain = new GainNode(context, { gain: 0 });
		gain.connect(this.#output);
		const oscillators = pattern.frequencies.map((frequency) => {
			const oscillator = new OscillatorNode(context, { frequency });
			oscillator.connect(gain);
			oscillator.start();
			return oscillator;
		});
		let until = context.currentTime + EDGE_SECONDS;
		const lay = () => {
			const end = context.currentTime + (pattern.seconds ?? HORIZON_SECONDS);
			while (until < end) until = schedule(gain.gain, pattern, until);
		};
		lay();
		const again = setInterval(() => pattern.seconds ?? lay(), (HORIZON_SECONDS / 2) * 1000);
		const stop = () => {
			clearInterval(again);
			const now = context.currentTime;
			gain.gain.cancelScheduledValues(now);
			gain.gain.setTargetAtTime(0, now, EDGE_SECONDS);
			for (const oscillator of oscillators) oscillator.stop(now + 10 * EDGE_SECONDS);
		};
		if (pattern.seconds !== undefined) {
			for (const oscillator of oscillators) oscillator.stop(until + 10 * EDGE_SECONDS);
		}
		const [first] = oscillators;
		first?.addEventListener("ended", () => {
			clearInterval(again);
			gain.disconnect();
		});
		return { stop };
	}
}

/** Lays out one round of the cadence from `at` on; returns its end. */
function schedule(gain: AudioParam, { cadence, gain: loud }: Pattern, at: number): number {
	let time = at;
	for (const [on, off] of cadence) {
		gain.setTargetAtTime(loud, time, EDGE_SECONDS / 3);
		gain.setTargetAtTime(0, time + on - EDGE_SECONDS, EDGE_SECONDS / 3);
		time += on + off;
	}
	return time;
}
