/** Stand-ins for tests: storage, a socket, a media engine that only remembers. */
import type { LinkState, MediaDevices, MediaEngine, MediaEvents, MediaStats, Probe, RoomMedia, TextTrack, Tone } from "./media/api.ts";
import type { Socket } from "./signal/line.ts";
import type { Box } from "./storage.ts";

export class MemoryBox implements Box {
	readonly #values = new Map<string, string>();

	getItem(key: string): string | null {
		return this.#values.get(key) ?? null;
	}

	setItem(key: string, value: string): void {
		this.#values.set(key, value);
	}

	removeItem(key: string): void {
		this.#values.delete(key);
	}
}

export class FakeSocket implements Socket {
	onopen: (() => void) | null = null;
	onmessage: ((event: { data: unknown }) => void) | null = null;
	onclose: ((event: { code: number; reason: string }) => void) | null = null;
	closed = false;
	readonly #sent: string[] = [];

	constructor(readonly protocol: string) {}

	send(text: string): void {
		if (this.closed) throw new Error("sent into a closed socket");
		this.#sent.push(text);
	}

	close(): void {
		this.closed = true;
	}

	sent(): Record<string, unknown>[] {
		return this.#sent.map((text) => JSON.parse(text) as Record<string, unknown>);
	}

	/** The last message of a type. */
	last(type: string): Record<string, unknown> | undefined {
		return this.sent().findLast((message) => message["type"] === type);
	}

	open(): void {
		this.onopen?.();
	}

	receive(message: Record<string, unknown>): void {
		this.raw(JSON.stringify(message));
	}

	raw(data: string): void {
		this.onmessage?.({ data });
	}

	drop(code: number): void {
		this.closed = true;
		this.onclose?.({ code, reason: "" });
	}
}

/** What `ok` says to `register`. */
export function registeredAnswer(id: unknown, change: Record<string, unknown> = {}): Record<string, unknown> {
	return {
		type: "ok",
		id,
		session: "s",
		key: "k",
		user: "anna",
		device: "d",
		resumed: false,
		calls: [],
		presence: [],
		rules: { undisturbed: false, after_s: 20 },
		messages: false,
		parked: [],
		services: {},
		limits: { message_bytes: 16384, calls: 4, ring_seconds: 45, call_seconds: 14400, grace_seconds: 10 },
		...change,
	};
}

type Listeners = { [K in keyof MediaEvents]?: ((event: MediaEvents[K]) => void)[] };

/** Does as it is told at once; `fail` makes the named method reject. */
export class FakeEngine implements MediaEngine {
	state: LinkState = { name: "idle" };
	/** The names of what was called, with the arguments that matter. */
	readonly calls: string[] = [];
	readonly rooms = new Map<string, { media: RoomMedia; muted: boolean; held: boolean }>();
	tone: Tone | null = null;
	microphoneOpen = false;
	readonly fail: { start?: Error; openMicrophone?: Error; setSpeaker?: Error } = {};
	readonly #listeners: Listeners = {};

	on<K extends keyof MediaEvents>(event: K, listener: (event: MediaEvents[K]) => void): () => void {
		const listeners = (this.#listeners[event] ??= [] as NonNullable<Listeners[K]>);
		listeners.push(listener);
		return () => listeners.splice(listeners.indexOf(listener), 1);
	}

	emit<K extends keyof MediaEvents>(event: K, value: MediaEvents[K]): void {
		for (const listener of this.#listeners[event] ?? []) listener(value);
	}

	enter(state: LinkState): void {
		this.state = state;
		this.emit("state", state);
	}

	async start(): Promise<void> {
		this.calls.push("start");
		if (this.fail.start !== undefined) throw this.fail.start;
	}

	async connect(): Promise<void> {
		this.calls.push("connect");
		this.enter({ name: "connected", way: "webtransport", voice: "datagram" });
	}

	hurry(): void {
		this.calls.push("hurry");
	}

	disconnect(): void {
		this.calls.push("disconnect");
		this.rooms.clear();
		this.enter({ name: "idle" });
	}

	async openMicrophone(): Promise<void> {
		this.calls.push("openMicrophone");
		if (this.fail.openMicrophone !== undefined) throw this.fail.openMicrophone;
		this.microphoneOpen = true;
	}

	closeMicrophone(): void {
		this.calls.push("closeMicrophone");
		this.microphoneOpen = false;
	}

	join(media: RoomMedia): void {
		this.calls.push(`join ${media.room}`);
		this.rooms.set(media.room, { media, muted: false, held: false });
	}

	addPeer(): void {}
	removePeer(): void {}

	leave(room: string): void {
		this.calls.push(`leave ${room}`);
		this.rooms.delete(room);
	}

	setMuted(room: string, muted: boolean): void {
		const known = this.rooms.get(room);
		if (known !== undefined) known.muted = muted;
	}

	setGain(room: string, participant: string, gain: number): void {
		this.calls.push(`gain ${room} ${participant} ${gain.toFixed(2)}`);
	}

	followTexts(room: string, _token: string, tracks: readonly TextTrack[]): void {
		this.calls.push(`texts ${room} ${tracks.map(({ participant, name }) => (name === "text" ? participant : name)).join(" ")}`);
	}

	setHeld(room: string, held: boolean): void {
		const known = this.rooms.get(room);
		if (known !== undefined) known.held = held;
	}

	replay(room: string, seconds: number): void {
		this.calls.push(`replay ${room} ${seconds}`);
	}

	stopReplay(): void {
		this.calls.push("stopReplay");
	}

	async listDevices(): Promise<MediaDevices> {
		return { microphones: [{ id: "m1", name: "Headset" }], speakers: [], canChooseSpeaker: true };
	}

	async setMicrophone(device: string): Promise<void> {
		this.calls.push(`setMicrophone ${device}`);
	}

	async setSpeaker(device: string): Promise<void> {
		this.calls.push(`setSpeaker ${device}`);
		if (this.fail.setSpeaker !== undefined) throw this.fail.setSpeaker;
	}

	startTone(tone: Tone): void {
		this.tone = tone;
	}

	stopTone(): void {
		this.tone = null;
	}

	playDigit(digit: string): void {
		this.calls.push(`digit ${digit}`);
	}

	videoPort(): MessagePort {
		return new MessageChannel().port1;
	}

	async voiceClock(): Promise<null> {
		return null;
	}

	async stats(): Promise<MediaStats> {
		return {
			roundTripMs: 20,
			maxDatagramBytes: 1200,
			moves: 0,
			sent: 0,
			dropped: 0,
			captureToSendMs: null,
			encoderRestarts: 0,
			outputLatencyMs: 10,
			peers: [],
		};
	}

	async probe(): Promise<Probe> {
		return { captured: [], played: [], peakHz: null, peakDb: -127, tones: [], sounds: [], frame: 0 };
	}

	async close(): Promise<void> {}
}
