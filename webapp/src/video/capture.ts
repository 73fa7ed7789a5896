/** Cameras and screens: opened, and their pictures on the way to the Worker. */

import { type CameraOptions, VideoError, type VideoErrorCode } from "./api.ts";

/** Missing in TypeScript's library; Chromium has it. */
declare const MediaStreamTrackProcessor: new (init: {
	track: MediaStreamTrack;
	maxBufferSize?: number;
}) => { readonly readable: ReadableStream<VideoFrame> };

/** Pictures that wait for a busy Worker; more are older than anyone wants to see. */
const BUFFER_MAX = 2;
const CAMERA = { width: 1280, height: 720, framerate: 30 };
/** Text wants pixels, not movement. */
const SCREEN_FRAMERATE = 15;

export async function openCamera(options: CameraOptions): Promise<MediaStream> {
	const { device, width = CAMERA.width, height = CAMERA.height, framerate = CAMERA.framerate } = options;
	const video: MediaTrackConstraints = {
		width: { ideal: width },
		height: { ideal: height },
		frameRate: { ideal: framerate, max: framerate },
		...(device !== undefined && device !== "" && { deviceId: { exact: device } }),
	};
	const devices = navigator.mediaDevices;
	if (devices?.getUserMedia === undefined) throw new VideoError("unsupported");
	try {
		const stream = await devices.getUserMedia({ video });
		hint(stream, "motion");
		return stream;
	} catch (error) {
		throw failure(error);
	}
}

export async function openScreen(): Promise<MediaStream> {
	const devices = navigator.mediaDevices;
	if (devices?.getDisplayMedia === undefined) throw new VideoError("unsupported");
	try {
		const stream = await devices.getDisplayMedia({ video: { frameRate: { max: SCREEN_FRAMERATE } }, audio: false });
		hint(stream, "detail");
		return stream;
	} catch (error) {
		throw failure(error);
	}
}

export function hint(stream: MediaStream, what: "motion" | "detail"): void {
	for (const track of stream.getVideoTracks()) track.contentHint = what;
}

/** Sends a track's pictures somewhere until it is stopped. */
export interface Tap {
	/** Pictures that can be handed to the Worker as they are; null: they come by `frame`. */
	readonly frames: ReadableStream<VideoFrame> | null;
	/** Another picture may come. */
	used(): void;
	/** What the camera is to do holds for what is sent, too. */
	constrain(constraints: MediaTrackConstraints): Promise<void>;
	stop(): void;
}

/** `frame` gets pictures where the browser cannot hand the track's own stream on. */
export function tap(track: MediaStreamTrack, frame: (frame: VideoFrame) => void): Tap {
	if ("MediaStreamTrackProcessor" in globalThis) {
		// A track of its own: the one in the preview goes on.
		const copy = track.clone();
		const { readable } = new MediaStreamTrackProcessor({ track: copy, maxBufferSize: BUFFER_MAX });
		return { frames: readable, used: () => {}, constrain: (constraints) => copy.applyConstraints(constraints), stop: () => copy.stop() };
	}
	return new Watching(track, frame);
}

/** By a `<video>` that nobody sees: each picture that it would show is taken. */
class Watching implements Tap {
	readonly frames = null;
	readonly #video = document.createElement("video");
	readonly #frame: (frame: VideoFrame) => void;
	#underway = 0;
	#over = false;

	constructor(track: MediaStreamTrack, frame: (frame: VideoFrame) => void) {
		this.#frame = frame;
		this.#video.muted = true;
		this.#video.playsInline = true;
		this.#video.srcObject = new MediaStream([track]);
		this.#video.play().catch(() => {});
		this.#next();
	}

	used(): void {
		this.#underway = Math.max(0, this.#underway - 1);
	}

	/** It sees the track itself. */
	async constrain(): Promise<void> {}

	stop(): void {
		this.#over = true;
		this.#video.srcObject = null;
	}

	#next(): void {
		this.#video.requestVideoFrameCallback((now) => {
			if (this.#over) return;
			this.#next();
			if (this.#underway >= BUFFER_MAX) return;
			this.#underway++;
			try {
				this.#frame(new VideoFrame(this.#video, { timestamp: Math.round(now * 1000) }));
			} catch {
				this.used(); // It had nothing to show yet.
			}
		});
	}
}

function failure(error: unknown): VideoError {
	const name = error instanceof Error ? error.name : "";
	return new VideoError(CODES[name] ?? "failed", String(error));
}

const CODES: Readonly<Record<string, VideoErrorCode>> = {
	NotAllowedError: "blocked",
	SecurityError: "blocked",
	NotFoundError: "none",
	OverconstrainedError: "none",
	NotReadableError: "in_use",
	AbortError: "in_use",
	NotSupportedError: "unsupported",
	TypeError: "unsupported",
};
