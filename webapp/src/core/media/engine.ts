/** The media engine of a page: Worker, worklets, devices and tones behind one interface. */

import {
	type ConnectOptions,
	type Levels,
	type LinkState,
	type MediaDevices,
	type MediaEngine,
	type MediaEngineOptions,
	MediaError,
	type MediaEvents,
	type MediaStats,
	type MicrophoneOptions,
	type PeerTrack,
	type Probe,
	type RoomMedia,
	type TextTrack,
	type Tone,
} from "./api.ts";
import { listDevices } from "./devices.ts";
import { Emitter } from "./emitter.ts";
import { type CaptureReport, type PlayoutReport, SILENCE_DB, type WorkerOrder, type WorkerReport, type WorkerStats } from "./messages.ts";
import { Sound } from "./sound.ts";
import sessionWasm from "./wasm/session.wasm?url";
import workerScript from "./worker/index.ts?worker&url";

/** The Worker answers at once unless it is dead. */
const STATS_TIMEOUT_MS = 1_000;

export function createMediaEngine(options: MediaEngineOptions = {}): MediaEngine {
	return new Engine(options);
}

class Engine implements MediaEngine {
	readonly #options: MediaEngineOptions;
	readonly #events = new Emitter<MediaEvents>();
	#worker: Worker | null = null;
	#sound: Promise<Sound> | null = null;
	#state: LinkState = { name: "idle" };
	#refresh: ConnectOptions["refresh"];
	#microphone: MicrophoneOptions = {};
	#levels: Levels = { microphone: SILENCE_DB, peers: [] };
	readonly #settled = new Set<() => void>();
	readonly #stats = new Map<number, (stats: WorkerStats | null) => void>();
	#nextStats = 1;
	readonly #online = () => this.hurry();
	readonly #devices = () => void this.#devicesChanged();

	constructor(options: MediaEngineOptions) {
		this.#options = options;
		globalThis.addEventListener?.("online", this.#online);
		navigator.mediaDevices?.addEventListener?.("devicechange", this.#devices);
	}

	get state(): LinkState {
		return this.#state;
	}

	on<K extends keyof MediaEvents>(event: K, listener: (event: MediaEvents[K]) => void): () => void {
		return this.#events.on(event, listener);
	}

	async start(): Promise<void> {
		const sound = await this.#makeSound();
		await sound.resume();
		if (this.#options.testSource && !sound.hasMicrophone) sound.useTestSource();
	}

	async connect({ refresh, ...address }: ConnectOptions): Promise<void> {
		this.#refresh = refresh;
		if (!isSupported()) {
			this.#setState({ name: "failed", reason: "unsupported", detail: "" });
			return;
		}
		// Its answer comes later; what stood before does not count.
		this.#setState({ name: "connecting" });
		this.#tell({ type: "connect", address });
		await new Promise<void>((resolve) => this.#settled.add(resolve));
	}

	hurry(): void {
		if (this.#worker !== null) this.#tell({ type: "online" });
	}

	disconnect(): void {
		this.#tell({ type: "disconnect" });
	}

	async openMicrophone(options: MicrophoneOptions = {}): Promise<void> {
		const sound = await this.#makeSound();
		const wanted = { ...this.#microphone, ...options };
		const name = await sound.openMicrophone(wanted);
		this.#microphone = wanted;
		this.#events.emit("microphone", { state: "open", name });
		void this.#devicesChanged(); // Names are known now.
	}

	closeMicrophone(): void {
		void this.#sound?.then((sound) => {
			if (!sound.hasMicrophone) return;
			sound.closeMicrophone();
			this.#levels = { ...this.#levels, microphone: SILENCE_DB };
			this.#events.emit("microphone", { state: "closed", name: "" });
		});
	}

	join(media: RoomMedia): void {
		this.#tell({ type: "join", media });
	}

	addPeer(room: string, peer: PeerTrack): void {
		this.#tell({ type: "add_peer", room, peer });
	}

	removePeer(room: string, participant: string): void {
		this.#tell({ type: "remove_peer", room, participant });
	}

	leave(room: string): void {
		this.#tell({ type: "leave", room });
	}

	setMuted(room: string, muted: boolean): void {
		this.#tell({ type: "muted", room, muted });
	}

	setGain(room: string, participant: string, gain: number): void {
		this.#tell({ type: "gain", room, participant, gain });
	}

	followTexts(room: string, token: string, tracks: readonly TextTrack[]): void {
		this.#tell({ type: "texts", room, token, tracks });
	}

	setHeld(room: string, held: boolean): void {
		this.#tell({ type: "held", room, held });
	}

	replay(room: string, seconds: number): void {
		this.#tell({ type: "replay", room, seconds });
	}

	stopReplay(): void {
		this.#tell({ type: "stop_replay" });
	}

	listDevices(): Promise<MediaDevices> {
		return listDevices(Sound.canChooseSpeaker);
	}

	async setMicrophone(device: string): Promise<void> {
		const sound = await this.#makeSound();
		if (sound.hasMicrophone) await this.openMicrophone({ device });
		else this.#microphone = { ...this.#microphone, device };
	}

	async setSpeaker(device: string): Promise<void> {
		await (await this.#makeSound()).setSpeaker(device);
	}

	startTone(tone: Tone): void {
		void this.#sound?.then((sound) => sound.tones.start(tone));
	}

	stopTone(): void {
		void this.#sound?.then((sound) => sound.tones.stop());
	}

	playDigit(digit: string): void {
		void this.#sound?.then((sound) => sound.tones.key(digit));
	}

	videoPort(): MessagePort {
		const { port1, port2 } = new MessageChannel();
		this.#tell({ type: "video", port: port1 }, [port1]);
		return port2;
	}

	async voiceClock(): Promise<{ ticks: number; at: number } | null> {
		return (await this.#sound)?.clock ?? null;
	}

	async stats(): Promise<MediaStats> {
		const sound = await this.#sound;
		const [worker, playout] = await Promise.all([this.#workerStats(), sound?.stats() ?? []]);
		const { peers = [], ...rest } = worker ?? NO_STATS;
		return {
			...rest,
			outputLatencyMs: sound?.outputLatencyMs ?? 0,
			peers: peers.map((peer) => ({
				...NO_BUFFER,
				...playout.find(({ room, participant }) => room === peer.room && participant === peer.participant),
				...peer,
			})),
		};
	}

	async probe(): Promise<Probe> {
		return (await this.#makeSound()).probe();
	}

	async close(): Promise<void> {
		globalThis.removeEventListener?.("online", this.#online);
		navigator.mediaDevices?.removeEventListener?.("devicechange", this.#devices);
		this.#worker?.terminate();
		this.#worker = null;
		const sound = this.#sound;
		this.#sound = null;
		await (await sound)?.close();
		this.#setState({ name: "idle" });
	}

	#makeSound(): Promise<Sound> {
		this.#sound ??= this.#newSound().catch((error: unknown) => {
			this.#sound = null; // The next gesture tries again.
			throw error;
		});
		return this.#sound;
	}

	async #newSound(): Promise<Sound> {
		const sound = await Sound.make({
			capture: (report) => this.#captured(report),
			playout: (report) => this.#played(report),
			microphoneLost: () => void this.#microphoneLost(),
		});
		const { capture, playout } = sound.ports();
		this.#tell({ type: "capture", port: capture }, [capture]);
		this.#tell({ type: "playout", port: playout }, [playout]);
		return sound;
	}

	#tell(order: WorkerOrder, transfer: Transferable[] = []): void {
		this.#worker ??= this.#makeWorker();
		this.#worker.postMessage(order, transfer);
	}

	#makeWorker(): Worker {
		const worker = new Worker(workerScript, { type: "module", name: "moqrelay-media" });
		worker.onmessage = ({ data }: MessageEvent<WorkerReport>) => this.#reported(data);
		worker.onerror = (event) => {
			this.#setState({ name: "failed", reason: "wasm", detail: event.message ?? "the Worker did not start" });
		};
		// The Worker's own location may be a blob: or elsewhere.
		const init: WorkerOrder = {
			type: "init",
			sessionWasm: new URL(sessionWasm, location.href).href,
			voice: this.#options.voice,
		};
		worker.postMessage(init);
		return worker;
	}

	#reported(report: WorkerReport): void {
		switch (report.type) {
			case "state":
				this.#setState(report.state);
				return;
			case "address_wanted":
				void this.#address();
				return;
			case "publishing":
				this.#events.emit("publishing", report);
				return;
			case "peer":
				this.#events.emit("peer", report);
				return;
			case "replay":
				this.#events.emit("replay", report);
				return;
			case "text":
				this.#events.emit("text", report);
				return;
			case "codec_failed":
				this.#events.emit("error", new MediaError("codec_failed", report.detail));
				return;
			case "stats":
				this.#stats.get(report.id)?.(report.stats);
				return;
		}
	}

	async #address(): Promise<void> {
		try {
			this.#tell({ type: "address", address: (await this.#refresh?.()) ?? null });
		} catch {
			this.#tell({ type: "address", address: null });
		}
	}

	#setState(state: LinkState): void {
		// The Worker says it again once it has loaded.
		if (state.name === "connecting" && this.#state.name === "connecting") return;
		this.#state = state;
		this.#events.emit("state", state);
		if (state.name === "connecting" || state.name === "reconnecting") return;
		for (const settle of this.#settled) settle();
		this.#settled.clear();
	}

	#captured(report: CaptureReport): void {
		if (report.type === "muted_speech") this.#events.emit("mutedSpeech", {});
		if (report.type !== "level") return;
		this.#levels = { ...this.#levels, microphone: report.level };
		this.#events.emit("levels", this.#levels);
	}

	async #played(report: PlayoutReport): Promise<void> {
		switch (report.type) {
			case "levels": {
				this.#levels = { ...this.#levels, peers: report.peers };
				// The microphone's own report carries both; without one these go alone.
				const sound = await this.#sound;
				if (!sound?.hasMicrophone) this.#events.emit("levels", this.#levels);
				return;
			}
			case "heard":
				this.#events.emit("heard", { room: report.room, participant: report.participant });
				return;
			case "broken":
				this.#events.emit("error", new MediaError("audio_failed", report.detail));
				return;
			case "ready":
			case "burst":
			case "sound":
			case "stats":
				return;
		}
	}

	/** Unplugged or forbidden in the middle: the default one takes over if there is one. */
	async #microphoneLost(): Promise<void> {
		this.#events.emit("microphone", { state: "lost", name: "" });
		const { device: _, ...rest } = this.#microphone;
		this.#microphone = rest;
		try {
			await this.openMicrophone();
		} catch (error) {
			this.#levels = { ...this.#levels, microphone: SILENCE_DB };
			this.#events.emit("error", error as MediaError);
		}
	}

	async #devicesChanged(): Promise<void> {
		try {
			this.#events.emit("devices", await this.listDevices());
		} catch {
			// A browser that does not list its devices has none to choose.
		}
	}

	#workerStats(): Promise<WorkerStats | null> {
		if (this.#worker === null) return Promise.resolve(null);
		const id = this.#nextStats++;
		return new Promise((resolve) => {
			const done = (stats: WorkerStats | null) => {
				clearTimeout(timer);
				this.#stats.delete(id);
				resolve(stats);
			};
			const timer = setTimeout(() => done(null), STATS_TIMEOUT_MS);
			this.#stats.set(id, done);
			this.#tell({ type: "stats", id });
		});
	}
}

const NO_STATS: WorkerStats = {
	roundTripMs: null,
	maxDatagramBytes: 0,
	moves: 0,
	sent: 0,
	dropped: 0,
	captureToSendMs: null,
	encoderRestarts: 0,
	peers: [],
};

const NO_BUFFER = {
	targetMs: 0,
	delayMs: 0,
	jitterMs: 0,
	concealedMs: 0,
	late: 0,
	underruns: 0,
	shedMs: 0,
};

/** Everything that has no substitute here. */
function isSupported(): boolean {
	return ["AudioEncoder", "AudioDecoder", "AudioWorkletNode", "WebAssembly"].every(
		(name) => name in globalThis,
	);
}
