/** The page's AudioContext with its two worklets, microphone and loudspeaker. */

import { MediaError, type MicrophoneOptions, type Probe } from "./api.ts";
import { openMicrophone } from "./devices.ts";
import {
	type CaptureControl,
	type CaptureReport,
	type PlayoutControl,
	type PlayoutPeerStats,
	type PlayoutReport,
	SAMPLE_RATE,
} from "./messages.ts";
import { Tones } from "./tones.ts";
import playoutWasm from "./wasm/playout.wasm?url";
import captureWorklet from "./worklets/capture.ts?worker&url";
import playoutWorklet from "./worklets/playout.ts?worker&url";

/** A context that has not started by then waits for a gesture or has no output. */
const START_TIMEOUT_MS = 3_000;
/** Bursts and sounds that a probe remembers. */
const PROBE_MAX = 256;
/** Bins of 2.93 Hz. */
const FFT_SIZE = 16_384;
/** Below this nothing is heard. */
const QUIET_DB = -60;
/** Reading `outputLatency` may stop Firefox 153's main thread for ever, in a lock of its audio graph. */
const OUTPUT_LATENCY_BLOCKS = globalThis.navigator?.userAgent.includes("Firefox/") ?? false;

export interface SoundOwner {
	capture(report: CaptureReport): void;
	playout(report: PlayoutReport): void;
	/** The microphone ended by itself. */
	microphoneLost(): void;
}

/** The context is 48 kHz, whatever the devices are: the browser resamples. */
export class Sound {
	readonly #context: AudioContext;
	readonly #capture: AudioWorkletNode;
	readonly #playout: AudioWorkletNode;
	readonly #spectrum: AnalyserNode;
	readonly #output: GainNode;
	readonly #owner: SoundOwner;
	readonly tones: Tones;
	/** Between the context and the loudspeaker, where the context itself cannot choose one. */
	#element: HTMLAudioElement | null = null;
	#stream: MediaStream | null = null;
	#source: AudioNode | null = null;
	#probing = false;
	readonly #captured: number[] = [];
	readonly #played: number[] = [];
	readonly #sounds: [number, number][] = [];
	readonly #stats = new Map<number, (peers: PlayoutPeerStats[]) => void>();
	#nextStats = 1;

	private constructor(context: AudioContext, module: ArrayBuffer, owner: SoundOwner) {
		this.#context = context;
		this.#owner = owner;
		this.#capture = new AudioWorkletNode(context, "moqrelay-capture", {
			numberOfOutputs: 0,
			channelCount: 1,
			channelCountMode: "explicit",
		});
		this.#playout = new AudioWorkletNode(context, "moqrelay-playout", {
			numberOfInputs: 0,
			outputChannelCount: [1],
			processorOptions: { module },
		});
		this.#spectrum = new AnalyserNode(context, { fftSize: FFT_SIZE, smoothingTimeConstant: 0 });
		this.#output = new GainNode(context);
		this.#playout.connect(this.#output).connect(context.destination);
		this.tones = new Tones(context, this.#output);
		// A telephone call or a closed lid suspends it; it goes on when the browser lets it.
		context.addEventListener("statechange", () => {
			if (context.state === "suspended") context.resume().catch(() => {});
		});
		this.#capture.port.onmessage = ({ data }: MessageEvent<CaptureReport>) => this.#heardCapture(data);
		this.#playout.port.onmessage = ({ data }: MessageEvent<PlayoutReport>) => this.#heardPlayout(data);
	}

	/**
	 * Makes the context, loads the worklets and gives the Worker its ends of them. Rejects with
	 * `audio_failed`.
	 */
	static async make(owner: SoundOwner): Promise<Sound> {
		let context: AudioContext | null = null;
		try {
			context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
			const [module] = await Promise.all([
				fetch(playoutWasm).then((response) => {
					if (!response.ok) throw new Error(`${playoutWasm}: ${response.status}`);
					return response.arrayBuffer();
				}),
				context.audioWorklet.addModule(captureWorklet),
				context.audioWorklet.addModule(playoutWorklet),
			]);
			return new Sound(context, module, owner);
		} catch (error) {
			await context?.close();
			throw new MediaError("audio_failed", String(error));
		}
	}

	/** Rejects with `audio_blocked` when the context does not start. */
	async resume(): Promise<void> {
		if (this.#context.state === "running") return;
		let timer: ReturnType<typeof setTimeout> | undefined;
		const late = new Promise<never>((_, reject) => {
			timer = setTimeout(() => reject(new MediaError("audio_blocked")), START_TIMEOUT_MS);
		});
		try {
			await Promise.race([this.#context.resume(), late]);
		} finally {
			clearTimeout(timer);
		}
	}

	/** The Worker's ends of both worklets. */
	ports(): { capture: MessagePort; playout: MessagePort } {
		const capture = new MessageChannel();
		const playout = new MessageChannel();
		this.#tellCapture({ type: "worker", port: capture.port1 }, [capture.port1]);
		this.#tellPlayout({ type: "worker", port: playout.port1 }, [playout.port1]);
		return { capture: capture.port2, playout: playout.port2 };
	}

	/** Returns the microphone's name. Rejects with a `mic_…` code and keeps the one in use. */
	async openMicrophone(options: MicrophoneOptions): Promise<string> {
		const stream = await openMicrophone(options);
		this.closeMicrophone();
		this.#stream = stream;
		this.#use(new MediaStreamAudioSourceNode(this.#context, { mediaStream: stream }));
		const [track] = stream.getAudioTracks();
		track?.addEventListener("ended", () => {
			if (this.#stream !== stream) return;
			this.closeMicrophone();
			this.#owner.microphoneLost();
		});
		return track?.label ?? "";
	}

	/** 300 ms of 440 Hz each second instead of a microphone. */
	useTestSource(): void {
		this.closeMicrophone();
		const length = SAMPLE_RATE;
		const buffer = new AudioBuffer({ length, sampleRate: SAMPLE_RATE });
		const samples = buffer.getChannelData(0);
		for (let i = 0; i < 0.3 * length; i++) samples[i] = 0.4 * Math.sin((2 * Math.PI * 440 * i) / SAMPLE_RATE);
		const source = new AudioBufferSourceNode(this.#context, { buffer, loop: true });
		source.start();
		this.#use(source);
	}

	/** Which sample is of this moment; null: none is taken. */
	get clock(): { ticks: number; at: number } | null {
		if (this.#context.state !== "running") return null;
		return { ticks: this.#context.currentTime * SAMPLE_RATE, at: performance.timeOrigin + performance.now() };
	}

	get hasMicrophone(): boolean {
		return this.#source !== null;
	}

	closeMicrophone(): void {
		this.#source?.disconnect();
		this.#source = null;
		for (const track of this.#stream?.getTracks() ?? []) track.stop();
		this.#stream = null;
	}

	static get canChooseSpeaker(): boolean {
		return "setSinkId" in AudioContext.prototype || "setSinkId" in HTMLMediaElement.prototype;
	}

	/** Rejects with `speaker_unavailable`. */
	async setSpeaker(device: string): Promise<void> {
		const context = this.#context as AudioContext & { setSinkId?: (id: string) => Promise<void> };
		try {
			if (context.setSinkId !== undefined) await context.setSinkId(device);
			else await this.#throughElement(device);
		} catch (error) {
			throw new MediaError("speaker_unavailable", String(error));
		}
	}

	/** What the loudspeaker adds, ms. */
	get outputLatencyMs(): number {
		const output = OUTPUT_LATENCY_BLOCKS ? 0 : this.#context.outputLatency || 0;
		return (output + (this.#context.baseLatency || 0)) * 1000;
	}

	/** What the jitter buffers say; empty when the worklet does not answer. */
	stats(): Promise<PlayoutPeerStats[]> {
		const id = this.#nextStats++;
		return new Promise((resolve) => {
			const done = (peers: PlayoutPeerStats[]) => {
				clearTimeout(timer);
				this.#stats.delete(id);
				resolve(peers);
			};
			const timer = setTimeout(() => done([]), STATS_TIMEOUT_MS);
			this.#stats.set(id, done);
			this.#tellPlayout({ type: "stats", id });
		});
	}

	probe(): Probe {
		if (!this.#probing) {
			this.#probing = true;
			this.#playout.connect(this.#spectrum);
			this.#tellCapture({ type: "probe" });
			this.#tellPlayout({ type: "probe" });
		}
		return {
			captured: [...this.#captured],
			played: [...this.#played],
			sounds: this.#sounds.map(([from, to]) => [from, to] as const),
			...loudest(this.#spectrum),
			frame: Math.round(this.#context.currentTime * SAMPLE_RATE),
		};
	}

	async close(): Promise<void> {
		this.closeMicrophone();
		this.tones.stop();
		this.#tellCapture({ type: "stop" });
		this.#tellPlayout({ type: "stop" });
		await this.#context.close();
	}

	#use(source: AudioNode): void {
		this.#source = source;
		source.connect(this.#capture);
	}

	/** Where a context cannot choose: by way of an element that can (Firefox). */
	async #throughElement(device: string): Promise<void> {
		if (this.#element !== null) {
			await this.#element.setSinkId(device);
			return;
		}
		const destination = new MediaStreamAudioDestinationNode(this.#context);
		const element = new Audio();
		element.srcObject = destination.stream;
		await element.setSinkId(device);
		await element.play();
		this.#output.disconnect();
		this.#output.connect(destination);
		this.#element = element;
	}

	#heardCapture(report: CaptureReport): void {
		if (report.type === "burst") keep(this.#captured, report.frame);
		else this.#owner.capture(report);
	}

	#heardPlayout(report: PlayoutReport): void {
		switch (report.type) {
			case "burst":
				keep(this.#played, report.frame);
				return;
			case "sound":
				keep(this.#sounds, [report.from, report.to]);
				return;
			case "stats":
				this.#stats.get(report.id)?.(report.peers);
				return;
			case "ready":
			case "broken":
			case "levels":
			case "heard":
				this.#owner.playout(report);
		}
	}

	#tellCapture(order: CaptureControl, transfer: Transferable[] = []): void {
		this.#capture.port.postMessage(order, transfer);
	}

	#tellPlayout(order: PlayoutControl, transfer: Transferable[] = []): void {
		this.#playout.port.postMessage(order, transfer);
	}
}

/** The audio thread answers within a quantum, unless the context is suspended. */
const STATS_TIMEOUT_MS = 500;

function keep<T>(list: T[], value: T): void {
	list.push(value);
	if (list.length > PROBE_MAX) list.shift();
}

function loudest(spectrum: AnalyserNode): { peakHz: number | null; peakDb: number; tones: number[] } {
	const levels = new Float32Array(spectrum.frequencyBinCount);
	spectrum.getFloatFrequencyData(levels);
	let peak = 2; // The first two bins are the offset.
	for (let i = peak; i < levels.length; i++) if ((levels[i] as number) > (levels[peak] as number)) peak = i;
	const peakDb = levels[peak] as number;
	const hz = (bin: number) => (bin * SAMPLE_RATE) / spectrum.fftSize;
	const tones = standingOut(levels, Math.max(QUIET_DB, peakDb - TONES_DB)).map(hz);
	return { peakHz: peakDb > QUIET_DB ? hz(peak) : null, peakDb, tones };
}

/** What is so much softer than the loudest is what a codec adds. */
const TONES_DB = 30;
const TONES_MAX = 16;
/** A tone spreads over so many bins to either side. */
const SPREAD_BINS = 6;

function standingOut(levels: Float32Array, above: number): number[] {
	const at = (bin: number) => levels[bin] ?? Number.NEGATIVE_INFINITY;
	const found: number[] = [];
	for (let bin = 2; bin < levels.length; bin++) {
		if (at(bin) <= above) continue;
		let highest = true;
		for (let by = 1; by <= SPREAD_BINS && highest; by++) highest = at(bin) >= at(bin - by) && at(bin) > at(bin + by);
		if (highest) found.push(bin);
	}
	return found.sort((a, b) => at(b) - at(a)).slice(0, TONES_MAX);
}
