/** What a place's page and the Worker say to each other about pictures, by a port of their own. */

import type { SentVideo, TileSize, VideoMedia, VideoSource, WatchedVideo } from "./api.ts";

/** Page to Worker. */
export type VideoOrder =
	/** First, and again when the token changes. */
	| { type: "place"; media: VideoMedia }
	/** `frames`: where pictures come from; null: by `frame`. */
	| { type: "show"; source: VideoSource; frames: ReadableStream<VideoFrame> | null }
	| { type: "frame"; source: VideoSource; frame: VideoFrame }
	| { type: "hide"; source: VideoSource }
	/** The voice's clock: this sample, 1/48000 s, is of the moment `at`, ms since 1970. */
	| { type: "clock"; ticks: number; at: number }
	| { type: "watch"; id: number; participant: string; source: VideoSource; size: TileSize }
	| { type: "resize"; id: number; size: TileSize }
	| { type: "unwatch"; id: number }
	/** A picture of `watch` was shown or dropped: another one may come. */
	| { type: "taken"; id: number }
	| { type: "stats"; id: number }
	| { type: "close" };

/** Worker to page. */
export type VideoReport =
	/** `voiceAt`: when voice of the same moment could be here at the earliest, ms since 1970. */
	| { type: "picture"; id: number; frame: VideoFrame; arrivedAt: number; voiceAt: number | null }
	| { type: "state"; id: number; state: "seen" | "waiting" | "ended" }
	/** A picture by `frame` was used: another one may come. */
	| { type: "used"; source: VideoSource }
	| { type: "failed"; source: VideoSource | null; code: "refused" | "codec_failed"; detail: string }
	| { type: "stats"; id: number; stats: WorkerVideoStats };

/** What the Worker knows of `VideoStats`. */
export interface WorkerVideoStats {
	readonly sent: SentVideo[];
	readonly watched: (Omit<WatchedVideo, "delayMs" | "behindVoiceMs"> & { readonly id: number })[];
}

/** Pictures on their way to the page for one tile: more are older than anyone wants to see. */
export const UNDERWAY_MAX = 4;

/** Ms since 1970 by the clock that never jumps: the same in page and Worker. */
export const epochNow = (): number => performance.timeOrigin + performance.now();
