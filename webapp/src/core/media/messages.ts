/** What the engine's four places say to each other: page, Worker, capture worklet, playout worklet. */

import type { LinkState, PeerTrack, RelayAddress, ReplayState, RoomMedia, TextTrack, TrackState } from "./api.ts";

/** The only rate of the engine. */
export const SAMPLE_RATE = 48_000;
/** 20 ms: one Opus packet, one MoQ object. */
export const FRAME_SAMPLES = 960;
/** Level of silence, in dB below full scale. */
export const SILENCE_DB = -127;

/** Page to Worker. */
export type WorkerOrder =
	| { type: "init"; sessionWasm: string; voice?: "stream" | undefined }
	| { type: "capture"; port: MessagePort }
	| { type: "playout"; port: MessagePort }
	| { type: "connect"; address: RelayAddress }
	/** Answers `address_wanted`; null: none to be had, use the last one. */
	| { type: "address"; address: RelayAddress | null }
	| { type: "disconnect" }
	| { type: "join"; media: RoomMedia }
	| { type: "add_peer"; room: string; peer: PeerTrack }
	| { type: "remove_peer"; room: string; participant: string }
	| { type: "leave"; room: string }
	| { type: "muted"; room: string; muted: boolean }
	| { type: "gain"; room: string; participant: string; gain: number }
	| { type: "held"; room: string; held: boolean }
	| { type: "texts"; room: string; token: string; tracks: readonly TextTrack[] }
	| { type: "replay"; room: string; seconds: number }
	| { type: "stop_replay" }
	| { type: "online" }
	/** The Worker's end for the pictures of one place. */
	| { type: "video"; port: MessagePort }
	| { type: "stats"; id: number };

/** Worker to page. */
export type WorkerReport =
	| { type: "state"; state: LinkState }
	| { type: "address_wanted" }
	| { type: "publishing"; room: string; state: TrackState; detail: string }
	| { type: "peer"; room: string; participant: string; state: TrackState; detail: string }
	| { type: "replay"; room: string; state: ReplayState }
	| { type: "text"; room: string; participant: string; name: TextTrack["name"]; json: string }
	| { type: "codec_failed"; detail: string }
	| { type: "stats"; id: number; stats: WorkerStats };

/** What the Worker knows of `MediaStats`. */
export interface WorkerStats {
	roundTripMs: number | null;
	maxDatagramBytes: number;
	moves: number;
	sent: number;
	dropped: number;
	captureToSendMs: number | null;
	encoderRestarts: number;
	peers: WorkerPeerStats[];
}

export interface WorkerPeerStats {
	room: string;
	participant: string;
	state: TrackState;
	received: number;
	lost: number;
	decoderRestarts: number;
}

/** Capture worklet to Worker: one frame. `pcm` goes back when it was copied. */
export interface CapturedFrame {
	pcm: Float32Array<ArrayBuffer>;
	/** The first sample's place on the context's clock, 1/48000 s. */
	at: number;
	/** RFC 6464: level in -dBov in bits 0–6, bit 7 voice. */
	level: number;
}

/** Worker to capture worklet. */
export type CaptureOrder =
	/** `hint`: whether speech that is not sent is speech into a muted microphone. */
	| { type: "sending"; on: boolean; hint: boolean }
	| { type: "used"; pcm: Float32Array<ArrayBuffer> };

/** Page to capture worklet. */
export type CaptureControl = { type: "worker"; port: MessagePort } | { type: "probe" } | { type: "stop" };

/** Capture worklet to page. */
export type CaptureReport =
	| { type: "level"; level: number }
	| { type: "muted_speech" }
	| { type: "burst"; frame: number };

/** Worker to playout worklet. `id` is the Worker's number for a peer, never used twice. */
export type PlayoutOrder =
	| { type: "add"; id: number; room: string; participant: string }
	| { type: "remove"; id: number }
	| { type: "gain"; id: number; gain: number }
	/** It is silent from `at` on, until the next sound. */
	| { type: "pause"; id: number; at: number }
	| { type: "play"; id: number; at: number; pcm: Float32Array<ArrayBuffer> };

/** Playout worklet to Worker: buffers that may be filled again. */
export interface PlayoutReturn {
	pcm: Float32Array<ArrayBuffer>;
}

/** Page to playout worklet. */
export type PlayoutControl =
	| { type: "worker"; port: MessagePort }
	| { type: "probe" }
	| { type: "stats"; id: number }
	| { type: "stop" };

/** Playout worklet to page. */
export type PlayoutReport =
	| { type: "ready" }
	/** The module did not load: nothing will be heard. */
	| { type: "broken"; detail: string }
	| { type: "levels"; peers: { room: string; participant: string; level: number }[] }
	| { type: "heard"; room: string; participant: string }
	| { type: "burst"; frame: number }
	| { type: "sound"; from: number; to: number }
	| { type: "stats"; id: number; peers: PlayoutPeerStats[] };

/** What the jitter buffer says of one peer. */
export interface PlayoutPeerStats {
	room: string;
	participant: string;
	targetMs: number;
	delayMs: number;
	jitterMs: number;
	concealedMs: number;
	late: number;
	underruns: number;
	shedMs: number;
}
