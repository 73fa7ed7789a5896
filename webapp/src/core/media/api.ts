/**
 * What the rest of the phone sees of the media engine: microphone, rooms, loudspeaker, tones.
 *
 * The engine is made by `createMediaEngine` in `./engine.ts`, lives on the main thread and knows
 * nothing of signaling, calls or the user interface. Everything here is plain data, so that call
 * state can be tested with a fake that implements {@link MediaEngine}.
 */

/** A sound source of a room: the `peers` entries of signaling's `media` fit as they are. */
export interface PeerTrack {
	/** Participant within the room, `p1`, `p2`, … */
	readonly participant: string;
	/** Track namespace below which the participant publishes, field by field. */
	readonly namespace: readonly string[];
}

/** A track of a room that holds JSON: what a telephone says in words, or who speaks. */
export interface TextTrack extends PeerTrack {
	readonly name: "text" | "speakers";
}

/** Signaling's `media` object, as it comes. */
export interface RoomMedia {
	/** 32 hex digits; a call between two has the call's id. */
	readonly room: string;
	/** Our own participant id. */
	readonly participant: string;
	/** Our own track namespace. */
	readonly namespace: readonly string[];
	/** Sent with each PUBLISH and SUBSCRIBE of the room. */
	readonly token: string;
	readonly peers: readonly PeerTrack[];
	/** The peers are seats: each carries whoever has it, and says who that is. Missing: they are people. */
	readonly seats?: boolean;
	/** Missing: our voice goes into the room. Otherwise it may be that we only listen. */
	readonly publishes?: boolean;
}

/** How MoQ reaches the relay: over UDP, or over TCP where UDP does not get through. */
export type Way = "webtransport" | "websocket";

/** `GET /api/v1/transport`, as far as the engine needs it. */
export interface RelayAddress {
	readonly url: string;
	/** The WebSocket that carries MoQ over TCP; missing: there is none. */
	readonly websocket?: string;
	/** Other relays that a GOAWAY may send us to. */
	readonly others?: readonly string[];
	/** SHA-256 of acceptable certificates, 64 hex digits each; empty: the browser's own check. */
	readonly hashes: readonly string[];
	/** Opens the session; empty or missing: anonymous. */
	readonly token?: string;
}

/** Why the relay is out of reach. */
export type LinkFailure =
	/** The browser has no WebCodecs Opus or AudioWorklet, or no way to the relay. */
	| "unsupported"
	/** The handshake failed: network, UDP blocked, or certificate; the browser does not say which. */
	| "unreachable"
	/** The relay refused the token, or it ended. */
	| "unauthorized"
	/** The relay speaks no draft of ours. */
	| "version"
	/** The session died: network change, timeout, the relay was restarted. */
	| "lost"
	/** The relay asked us to leave, and no other session came to stand in time. */
	| "going_away"
	/** One side broke the protocol: a fault in this program or the relay. */
	| "protocol"
	/** The WebAssembly module could not be loaded. */
	| "wasm";

/** The session with the relay. `failed` is final until `connect` is called again. */
export type LinkState =
	| { readonly name: "idle" }
	| { readonly name: "connecting" }
	/** `voice`: whether packets go as datagrams or, where they are too small, on streams. */
	| { readonly name: "connected"; readonly way: Way; readonly voice: "datagram" | "stream" }
	| {
			readonly name: "reconnecting";
			readonly reason: LinkFailure;
			/** 1 for the first try after the loss. */
			readonly attempt: number;
			readonly retryInMs: number;
	  }
	| { readonly name: "failed"; readonly reason: LinkFailure; readonly detail: string };

/** What became of a track of a room. */
export type TrackState =
	/** Asked for; waits for the relay or (subscriptions) for the publisher. */
	| "pending"
	/** The relay accepted it. */
	| "live"
	/** The publisher went away, or ended the track. */
	| "ended"
	/** The relay refused it (`detail` says why), retries included. */
	| "refused";

/** Hearing again what was just said. */
export type ReplayState =
	| { readonly name: "idle" }
	/** The relay was asked for it. */
	| { readonly name: "asking" }
	/** It plays, and live sound is soft meanwhile. */
	| { readonly name: "playing"; readonly totalMs: number }
	/** `nothing`: the relay has none of it any more. `unavailable`: it does not give it. */
	| { readonly name: "failed"; readonly reason: "nothing" | "unavailable" };

/** Why a microphone or loudspeaker does not work. */
export type DeviceErrorCode =
	/** The user or the browser's settings forbid it. */
	| "mic_blocked"
	/** There is none (any more). */
	| "mic_none"
	/** Another program holds it, or the operating system refuses it. */
	| "mic_in_use"
	/** The page is no secure context, or the browser lacks getUserMedia. */
	| "mic_unsupported"
	| "mic_failed"
	/** The loudspeaker asked for is gone or cannot be chosen in this browser. */
	| "speaker_unavailable"
	/** The AudioContext does not start: no user gesture yet, or no audio output. */
	| "audio_blocked"
	/** The worklets or their WebAssembly could not be loaded. */
	| "audio_failed"
	/** The Opus encoder or decoder failed again and again. */
	| "codec_failed";

/** Rejects the promises of {@link MediaEngine} and comes with the `error` event. */
export class MediaError extends Error {
	constructor(
		readonly code: DeviceErrorCode,
		/** In English, for logs; words for the user belong to `code`. */
		readonly detail = "",
	) {
		super(detail === "" ? code : `${code}: ${detail}`);
		this.name = "MediaError";
	}
}

/** A microphone or loudspeaker. Names are empty until the microphone was allowed once. */
export interface MediaDevice {
	readonly id: string;
	readonly name: string;
}

export interface MediaDevices {
	readonly microphones: readonly MediaDevice[];
	readonly speakers: readonly MediaDevice[];
	/** False where the browser does not let a page choose the loudspeaker. */
	readonly canChooseSpeaker: boolean;
}

/** Levels in dB below full scale: 0 is the loudest, -127 silence. */
export interface Levels {
	/** The microphone, muted or not; -127 while it is closed. */
	readonly microphone: number;
	/** Each peer that is heard now; of a seat, who has it. */
	readonly peers: readonly { readonly room: string; readonly participant: string; readonly level: number }[];
}

/** Names of local tones; `test` is a second of 440 Hz to try the loudspeaker. */
export type Tone = "ring" | "ringback" | "busy" | "waiting" | "test";

/** Times in ms, counters since the room was joined. */
export interface PeerStats {
	readonly room: string;
	readonly participant: string;
	readonly state: TrackState;
	/** Packets that arrived, and packets that should have. */
	readonly received: number;
	readonly lost: number;
	/** What the jitter buffer aims at, and the delay it has: from a packet's earliest arrival to its playing. */
	readonly targetMs: number;
	readonly delayMs: number;
	/** How much later than the earliest 95 % of packets come. */
	readonly jitterMs: number;
	/** Sound that was made up because nothing was there. */
	readonly concealedMs: number;
	/** Packets that came too late to be played. */
	readonly late: number;
	/** Times that nothing was there to play in mid-speech. */
	readonly underruns: number;
	/** Sound left out to give gained delay back. */
	readonly shedMs: number;
	/** Decoder restarts after errors. */
	readonly decoderRestarts: number;
}

export interface MediaStats {
	/** Round trip to the relay in ms, or null while unknown. */
	readonly roundTripMs: number | null;
	readonly maxDatagramBytes: number;
	/** How often the session was changed for another one while the engine ran. */
	readonly moves: number;
	/** Packets sent, and packets dropped here because the way out was full. */
	readonly sent: number;
	readonly dropped: number;
	/** From a frame's arrival in the Worker to its packet's hand-over to the transport, ms, median of the last 64. */
	readonly captureToSendMs: number | null;
	readonly encoderRestarts: number;
	/** What the browser says of the loudspeaker's path, ms. */
	readonly outputLatencyMs: number;
	readonly peers: readonly PeerStats[];
}

/** For measurements: frame numbers of the AudioContext's clock, 48,000 a second. */
export interface Probe {
	/** Frames at which a burst began (after at least 100 ms of quiet), oldest first, at most 256. */
	readonly captured: readonly number[];
	/** The same in what is played. */
	readonly played: readonly number[];
	/** The loudest frequency of what is played, Hz (bins of 2.93 Hz), or null while it is quiet. */
	readonly peakHz: number | null;
	/** Its level in dB, as AnalyserNode counts. */
	readonly peakDb: number;
	/** Every frequency that stands out of what is played, Hz, at most 16, the loudest first. */
	readonly tones: readonly number[];
	/** Loud stretches of what was played, in frames, closed by at least 10 ms of quiet: [start, end). At most 256. */
	readonly sounds: readonly (readonly [number, number])[];
	/** The AudioContext's frame now. */
	readonly frame: number;
}

/** Events by name; see {@link MediaEngine.on}. */
export interface MediaEvents {
	state: LinkState;
	/** Our own track in `room`. */
	publishing: { readonly room: string; readonly state: TrackState; readonly detail: string };
	/** A peer's track. */
	peer: {
		readonly room: string;
		readonly participant: string;
		readonly state: TrackState;
		readonly detail: string;
	};
	/** An object of a track that is followed by `followTexts`: JSON, as it came. */
	text: { readonly room: string; readonly participant: string; readonly name: TextTrack["name"]; readonly json: string };
	/** What becomes of a replay; the last one told is `idle` or `failed`. */
	replay: { readonly room: string; readonly state: ReplayState };
	/** The first sound of a peer since it was added (or came back). */
	heard: { readonly room: string; readonly participant: string };
	/** About ten times a second while the engine runs. */
	levels: Levels;
	/** Somebody speaks into a microphone that is muted; at most every 5 s. */
	mutedSpeech: Record<string, never>;
	/** Devices came or went. */
	devices: MediaDevices;
	/** The microphone stopped by itself (unplugged, forbidden). The engine falls back to the default one and says so if it succeeds. */
	microphone: { readonly state: "open" | "closed" | "lost"; readonly name: string };
	error: MediaError;
}

export interface MicrophoneOptions {
	/** Missing: the one chosen before, or the system's default. */
	readonly device?: string;
	/** All default to true. */
	readonly echoCancellation?: boolean;
	readonly noiseSuppression?: boolean;
	readonly autoGainControl?: boolean;
}

export interface ConnectOptions extends RelayAddress {
	/**
	 * Called before each reconnection: certificates are renewed and tokens end. When it rejects,
	 * the last address is used again.
	 */
	readonly refresh?: () => Promise<RelayAddress>;
}

/** The media engine; one for each page. */
export interface MediaEngine {
	/** The link's state now. */
	readonly state: LinkState;

	/** Calls `listener` for each event; returns what takes it off again. */
	on<K extends keyof MediaEvents>(event: K, listener: (event: MediaEvents[K]) => void): () => void;

	/**
	 * Makes the AudioContext and loads the worklets; call it in a user's gesture. Repeating it is
	 * harmless, and resumes a context that the browser suspended.
	 * Rejects with `audio_blocked` or `audio_failed`.
	 */
	start(): Promise<void>;

	/** Opens the session; resolves when it stands, rejects never: watch `state`. Rooms survive a second `connect`. */
	connect(options: ConnectOptions): Promise<void>;
	/** There is reason to believe that the relay can be reached again: does not wait for the next try. */
	hurry(): void;
	/** Closes the session and leaves all rooms. */
	disconnect(): void;

	/** Asks for the microphone and starts listening to it. Rejects with a `mic_…` code. */
	openMicrophone(options?: MicrophoneOptions): Promise<void>;
	/** Lets the microphone go (its light goes out). */
	closeMicrophone(): void;

	/**
	 * Publishes our tracks in the room and subscribes to its peers, now or as soon as the session
	 * stands; again by itself after each reconnection. Joining a room a second time replaces token
	 * and peers and keeps what plays.
	 */
	join(media: RoomMedia): void;
	addPeer(room: string, peer: PeerTrack): void;
	removePeer(room: string, participant: string): void;
	/** Ends our tracks in the room and stops hearing it. */
	leave(room: string): void;

	/** Whether our voice goes into `room`; the microphone stays open for the hint. */
	setMuted(room: string, muted: boolean): void;
	/** Plays a participant louder or softer: a factor, 1 is as it comes. It holds for whatever carries the voice. */
	setGain(room: string, participant: string, gain: number): void;
	/** Which of a room's tracks of JSON are wanted from now on; `text` tells what they say. */
	followTexts(room: string, token: string, tracks: readonly TextTrack[]): void;
	/** Held: nothing goes out and nothing is heard. */
	setHeld(room: string, held: boolean): void;

	/**
	 * Plays the last seconds of sound of whoever spoke last in the room, once more. Live sound goes on softly.
	 * One replay at a time: another one takes its place.
	 */
	replay(room: string, seconds: number): void;
	/** Back to live sound alone. */
	stopReplay(): void;

	listDevices(): Promise<MediaDevices>;
	/** Rejects with a `mic_…` code and keeps the microphone in use. */
	setMicrophone(device: string): Promise<void>;
	/** Rejects with `speaker_unavailable`. An empty id is the system's default. */
	setSpeaker(device: string): Promise<void>;

	/** Plays a local tone until `stopTone` or another tone. */
	startTone(tone: Tone): void;
	stopTone(): void;
	/** The tone of a key, `0-9A-D*#`, for 150 ms, heard here only. */
	playDigit(digit: string): void;

	/** A port to the Worker, for the pictures of one place in a room (`src/video`). */
	videoPort(): MessagePort;
	/** The voice's clock: which sample, 1/48000 s, is of the moment `at`, ms since 1970; null: it stands still. */
	voiceClock(): Promise<{ readonly ticks: number; readonly at: number } | null>;

	stats(): Promise<MediaStats>;
	/** Burst starts and spectrum; the first call switches the probes on. */
	probe(): Promise<Probe>;

	/** Ends everything; the engine cannot be used again. */
	close(): Promise<void>;
}

export interface MediaEngineOptions {
	/**
	 * Instead of the microphone: 300 ms of 440 Hz each second, made by the page. For browsers
	 * without a fake microphone, and measurements.
	 */
	readonly testSource?: boolean;
	/** Voice on streams even where datagrams would do. For tests. */
	readonly voice?: "stream";
}
