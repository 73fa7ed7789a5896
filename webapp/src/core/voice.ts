/** Makes the media engine do what the calls want: rooms, tones, microphone, loudspeaker. */
import type { Wanted, WantedRoom } from "./call/wanted.ts";
import { type DeviceErrorCode, type MediaDevices, type MediaEngine, MediaError, type Tone } from "./media/api.ts";
import type { Settings } from "./settings.ts";
import { Store } from "./store.ts";

export type MicrophoneState =
	| { readonly name: "closed" }
	| { readonly name: "opening" }
	| { readonly name: "open" }
	| { readonly name: "failed"; readonly code: DeviceErrorCode };

/** Browsers let a page sound only after a click or a key. */
export type AudioState = "asleep" | "starting" | "awake" | "blocked";

const NO_DEVICES: MediaDevices = { microphones: [], speakers: [], canChooseSpeaker: false };

export class Voice {
	readonly microphone = new Store<MicrophoneState>({ name: "closed" });
	readonly audio = new Store<AudioState>("asleep");
	readonly devices = new Store<MediaDevices>(NO_DEVICES);
	readonly #engine: MediaEngine;
	readonly #settings: Store<Settings>;
	readonly #say: (code: DeviceErrorCode) => void;
	readonly #joined = new Map<string, WantedRoom>();
	#wanted: Wanted = { tone: null, rooms: [], microphone: false, awake: false };
	#tone: Tone | null = null;
	#testing = false;
	#starting: Promise<boolean> | null = null;
	#opening: Promise<void> | null = null;

	constructor(engine: MediaEngine, settings: Store<Settings>, say: (code: DeviceErrorCode) => void) {
		this.#engine = engine;
		this.#settings = settings;
		this.#say = say;
		engine.on("devices", (devices) => this.devices.set(devices));
		engine.on("microphone", ({ state }) => this.#microphoneChanged(state));
	}

	/** Starts the sound; call it in a user's gesture. Returns whether it stands. */
	wake(): Promise<boolean> {
		this.#starting ??= this.#wake().finally(() => {
			this.#starting = null;
		});
		return this.#starting;
	}

	apply(wanted: Wanted): void {
		this.#wanted = wanted;
		this.#applyRooms(wanted.rooms);
		this.#applyTone();
		this.#applyMicrophone();
	}

	/** Opens the microphone now, so that a refusal is known before anybody is called. Returns why not. */
	async prepareMicrophone(): Promise<DeviceErrorCode | null> {
		if (this.microphone.value.name !== "open") await this.#open();
		const state: MicrophoneState = this.microphone.value;
		return state.name === "failed" ? state.code : null;
	}

	/** The microphone's level is wanted outside of a call. */
	test(on: boolean): void {
		this.#testing = on;
		this.#applyMicrophone();
		if (on) void this.listDevices();
	}

	/** Tries again what failed. */
	retryMicrophone(): void {
		if (this.microphone.value.name === "failed") this.microphone.set({ name: "closed" });
		this.#applyMicrophone();
	}

	async listDevices(): Promise<void> {
		try {
			this.devices.set(await this.#engine.listDevices());
		} catch {
			// The pickers stay empty; calls work with the default devices.
		}
	}

	async chooseMicrophone(id: string): Promise<boolean> {
		if (this.microphone.value.name !== "open") return true;
		return this.#try(() => this.#engine.setMicrophone(id));
	}

	/** The processing of the sound was changed. */
	async reopenMicrophone(): Promise<void> {
		if (this.microphone.value.name === "open") await this.#open();
	}

	async chooseSpeaker(id: string): Promise<boolean> {
		return this.#try(() => this.#engine.setSpeaker(id));
	}

	/** A second of a tone, to try the loudspeaker. */
	async playTest(): Promise<void> {
		if (!(await this.wake())) return;
		this.#tone = null;
		this.#engine.startTone("test");
	}

	async #try(change: () => Promise<void>): Promise<boolean> {
		try {
			await change();
			return true;
		} catch (error) {
			this.#say(codeOf(error));
			return false;
		}
	}

	async #wake(): Promise<boolean> {
		if (this.audio.value !== "awake") this.audio.set("starting");
		try {
			await this.#engine.start();
		} catch (error) {
			this.audio.set("blocked");
			if (codeOf(error) !== "audio_blocked") this.#say(codeOf(error));
			return false;
		}
		const first = this.audio.value !== "awake";
		this.audio.set("awake");
		if (first) {
			const { speaker } = this.#settings.value;
			if (speaker !== "") await this.chooseSpeaker(speaker);
			this.#applyTone();
		}
		return true;
	}

	#applyRooms(rooms: readonly WantedRoom[]): void {
		for (const room of this.#joined.keys()) {
			if (rooms.some((wanted) => wanted.media.room === room)) continue;
			this.#engine.leave(room);
			this.#joined.delete(room);
		}
		for (const wanted of rooms) {
			const { room } = wanted.media;
			const known = this.#joined.get(room);
			if (known?.media !== wanted.media) this.#engine.join(wanted.media);
			if ((known?.muted ?? false) !== wanted.muted) this.#engine.setMuted(room, wanted.muted);
			if ((known?.held ?? false) !== wanted.held) this.#engine.setHeld(room, wanted.held);
			this.#joined.set(room, wanted);
		}
		if (rooms.length > 0 && this.audio.value !== "awake") void this.wake();
	}

	#applyTone(): void {
		const { tone } = this.#wanted;
		if (tone === this.#tone) return;
		if (tone === null) {
			this.#tone = null;
			this.#engine.stopTone();
		} else if (this.audio.value === "awake") {
			this.#tone = tone;
			this.#engine.startTone(tone);
		} else if (this.audio.value !== "blocked") {
			// Comes back here when it stands.
			void this.wake();
		}
	}

	#applyMicrophone(): void {
		const wanted = this.#wanted.microphone || this.#testing;
		const { name } = this.microphone.value;
		if (wanted && name === "closed") void this.#open();
		if (!wanted && name === "open") this.#engine.closeMicrophone();
		if (!wanted && name !== "opening") this.microphone.set({ name: "closed" });
	}

	#open(): Promise<void> {
		this.#opening ??= this.#openOnce().finally(() => {
			this.#opening = null;
		});
		return this.#opening;
	}

	async #openOnce(): Promise<void> {
		this.microphone.set({ name: "opening" });
		const { microphone, echoCancellation, noiseSuppression, autoGainControl } = this.#settings.value;
		const processing = { echoCancellation, noiseSuppression, autoGainControl };
		try {
			await this.wake();
			await this.#engine.openMicrophone(microphone === "" ? processing : { device: microphone, ...processing });
			this.microphone.set({ name: "open" });
			void this.listDevices();
		} catch (error) {
			this.microphone.set({ name: "failed", code: codeOf(error) });
		}
	}

	#microphoneChanged(state: "open" | "closed" | "lost"): void {
		const { name } = this.microphone.value;
		if (state === "lost") this.microphone.set({ name: "failed", code: "mic_none" });
		else if (state === "open" && name === "failed") this.microphone.set({ name: "open" });
	}
}

function codeOf(error: unknown): DeviceErrorCode {
	return error instanceof MediaError ? error.code : "audio_failed";
}
