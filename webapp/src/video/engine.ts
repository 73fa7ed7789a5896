/** The video engine of a place: camera and screen to the Worker, pictures from there to the tiles. */

import type { MediaEngine } from "../core/media/api.ts";
import { Emitter } from "../core/media/emitter.ts";
import {
	type CameraOptions,
	type ScreenOptions,
	type TileSize,
	type VideoEngine,
	VideoError,
	type VideoEvents,
	type VideoMedia,
	type VideoSource,
	type VideoStats,
	type VideoSupport,
	type Watch,
} from "./api.ts";
import { hint, openCamera, openScreen, type Tap, tap } from "./capture.ts";
import type { VideoOrder, VideoReport, WorkerVideoStats } from "./messages.ts";
import { canPopOut, Tile } from "./tile.ts";

/** How often the Worker learns the voice's clock, and tiles how long voice waits. */
const CLOCK_MS = 500;
/** The Worker answers at once unless it is dead. */
const STATS_TIMEOUT_MS = 1_000;

export interface VideoEngineOptions {
	readonly engine: Pick<MediaEngine, "videoPort" | "voiceClock" | "stats">;
	readonly media: VideoMedia;
}

export function createVideoEngine(options: VideoEngineOptions): VideoEngine {
	return new Engine(options);
}

/** What is shown now. */
interface Shown {
	readonly stream: MediaStream;
	readonly tap: Tap;
	/** The stream is ours to stop. */
	readonly owned: boolean;
	readonly forget: () => void;
}

interface Watching {
	readonly tile: Tile;
	readonly participant: string;
	readonly source: VideoSource;
}

class Engine implements VideoEngine {
	readonly #engine: VideoEngineOptions["engine"];
	readonly #port: MessagePort;
	readonly #events = new Emitter<VideoEvents>();
	readonly #shown = new Map<VideoSource, Shown>();
	readonly #watching = new Map<number, Watching>();
	readonly #stats = new Map<number, (stats: WorkerVideoStats | null) => void>();
	readonly #timer: ReturnType<typeof setInterval>;
	#media: VideoMedia;
	#camera: CameraOptions = {};
	#blur = false;
	#voiceDelays = new Map<string, number>();
	#nextId = 1;
	#over = false;

	constructor({ engine, media }: VideoEngineOptions) {
		this.#engine = engine;
		this.#media = media;
		this.#port = engine.videoPort();
		this.#port.onmessage = ({ data }: MessageEvent<VideoReport>) => this.#reported(data);
		this.#tell({ type: "place", media });
		this.#timer = setInterval(() => void this.#tick(), CLOCK_MS);
		void this.#tick();
	}

	get support(): VideoSupport {
		const has = (...names: string[]) => names.every((name) => name in globalThis);
		const devices = globalThis.navigator?.mediaDevices;
		const track = this.#shown.get("camera")?.stream.getVideoTracks()[0];
		const send = has("VideoEncoder", "VideoFrame") && devices?.getUserMedia !== undefined;
		return {
			send,
			receive: has("VideoDecoder"),
			screen: send && devices?.getDisplayMedia !== undefined,
			blur: track === undefined ? "backgroundBlur" in (devices?.getSupportedConstraints?.() ?? {}) : canBlur(track),
			pictureInPicture: canPopOut(),
		};
	}

	get sending(): { camera: boolean; screen: boolean } {
		return { camera: this.#shown.has("camera"), screen: this.#shown.has("screen") };
	}

	on<K extends keyof VideoEvents>(event: K, listener: (event: VideoEvents[K]) => void): () => void {
		return this.#events.on(event, listener);
	}

	async cameraOn(options: CameraOptions = {}): Promise<void> {
		this.#supported();
		const { track, ...wanted } = { ...this.#camera, ...options };
		const stream = track === undefined ? await openCamera(wanted) : new MediaStream([track]);
		this.#camera = wanted;
		// Before anything is sent: nobody is to see for a moment what is behind us.
		const [camera] = stream.getVideoTracks();
		if (this.#blur && camera !== undefined) await blurred(camera, true);
		this.#show("camera", stream, track === undefined);
	}

	cameraOff(): void {
		this.#hide("camera");
	}

	async screenOn({ track }: ScreenOptions = {}): Promise<void> {
		this.#supported();
		const stream = track === undefined ? await openScreen() : new MediaStream([track]);
		hint(stream, "detail");
		this.#show("screen", stream, track === undefined);
	}

	screenOff(): void {
		this.#hide("screen");
	}

	preview(source: VideoSource): MediaStream | null {
		return this.#shown.get(source)?.stream ?? null;
	}

	async blur(on: boolean): Promise<boolean> {
		this.#blur = on;
		const shown = this.#shown.get("camera");
		const track = shown?.stream.getVideoTracks()[0];
		if (shown === undefined || track === undefined) return !on || this.support.blur;
		return blurred(track, on, shown.tap);
	}

	watch(participant: string, source: VideoSource, canvas: HTMLCanvasElement, size: TileSize): Watch {
		const id = this.#nextId++;
		const tile = new Tile(canvas, {
			voiceDelayMs: () => this.#voiceDelays.get(participant) ?? null,
			taken: () => this.#tell({ type: "taken", id }),
			resize: (size) => this.#tell({ type: "resize", id, size }),
			resized: (width, height) => this.#events.emit("resized", { participant, source, width, height }),
			stop: () => {
				this.#watching.delete(id);
				this.#tell({ type: "unwatch", id });
			},
		});
		this.#watching.set(id, { tile, participant, source });
		this.#tell({ type: "watch", id, participant, source, size });
		return tile;
	}

	renew(media: VideoMedia): void {
		this.#media = media;
		this.#tell({ type: "place", media });
	}

	async stats(): Promise<VideoStats> {
		const stats = await this.#workerStats();
		const watched = (stats?.watched ?? []).flatMap(({ id, ...rest }) => {
			const figures = this.#watching.get(id)?.tile.figures;
			return figures === undefined ? [] : [{ ...rest, ...figures, dropped: rest.dropped + figures.dropped }];
		});
		return { sent: stats?.sent ?? [], watched };
	}

	close(): void {
		if (this.#over) return;
		for (const source of [...this.#shown.keys()]) this.#hide(source);
		for (const { tile } of [...this.#watching.values()]) tile.stop();
		this.#over = true;
		clearInterval(this.#timer);
		this.#port.postMessage({ type: "close" } satisfies VideoOrder);
		for (const answer of [...this.#stats.values()]) answer(null);
	}

	#supported(): void {
		if (!this.support.send) throw new VideoError("unsupported");
		if (this.#over) throw new VideoError("failed", "the place is closed");
	}

	#show(source: VideoSource, stream: MediaStream, owned: boolean): void {
		const [track] = stream.getVideoTracks();
		if (this.#over || track === undefined) {
			if (owned) for (const one of stream.getTracks()) one.stop();
			throw new VideoError("none");
		}
		const before = this.#shown.get(source);
		const tapped = tap(track, (frame) => this.#tell({ type: "frame", source, frame }, [frame]));
		const ended = () => {
			this.#hide(source);
			this.#events.emit("ended", { source });
		};
		track.addEventListener("ended", ended);
		const forget = () => track.removeEventListener("ended", ended);
		this.#shown.set(source, { stream, tap: tapped, owned, forget });
		const { frames } = tapped;
		this.#tell({ type: "show", source, frames }, frames === null ? [] : [frames]);
		if (before !== undefined) release(before);
		this.#events.emit("sending", this.sending);
	}

	#hide(source: VideoSource): void {
		const shown = this.#shown.get(source);
		if (shown === undefined) return;
		this.#shown.delete(source);
		release(shown);
		this.#tell({ type: "hide", source });
		this.#events.emit("sending", this.sending);
	}

	#reported(report: VideoReport): void {
		switch (report.type) {
			case "picture": {
				const watching = this.#watching.get(report.id);
				if (watching === undefined) report.frame.close();
				else watching.tile.picture(report);
				return;
			}
			case "state": {
				const watching = this.#watching.get(report.id);
				if (watching === undefined) return;
				const { participant, source } = watching;
				this.#events.emit("picture", { participant, source, state: report.state });
				return;
			}
			case "used":
				this.#shown.get(report.source)?.tap.used();
				return;
			case "failed":
				if (report.source !== null) this.#hide(report.source);
				this.#events.emit("error", new VideoError(report.code, report.detail));
				return;
			case "stats":
				this.#stats.get(report.id)?.(report.stats);
		}
	}

	/** Voice and pictures share a time line, and pictures wait as long as the voice does. */
	async #tick(): Promise<void> {
		const clock = await this.#engine.voiceClock();
		if (this.#over) return;
		if (clock !== null) this.#tell({ type: "clock", ...clock });
		if (this.#watching.size === 0) return;
		const { peers, outputLatencyMs } = await this.#engine.stats();
		const here = peers.filter(({ room }) => room === this.#media.room);
		this.#voiceDelays = new Map(here.map(({ participant, delayMs }) => [participant, delayMs + outputLatencyMs]));
	}

	#workerStats(): Promise<WorkerVideoStats | null> {
		if (this.#over) return Promise.resolve(null);
		const id = this.#nextId++;
		return new Promise((resolve) => {
			const done = (stats: WorkerVideoStats | null) => {
				clearTimeout(timer);
				this.#stats.delete(id);
				resolve(stats);
			};
			const timer = setTimeout(() => done(null), STATS_TIMEOUT_MS);
			this.#stats.set(id, done);
			this.#tell({ type: "stats", id });
		});
	}

	#tell(order: VideoOrder, transfer: Transferable[] = []): void {
		if (!this.#over) this.#port.postMessage(order, transfer);
	}
}

function release({ stream, tap, owned, forget }: Shown): void {
	forget();
	tap.stop();
	if (owned) for (const track of stream.getTracks()) track.stop();
}

/** Has a camera blur what is behind a person, or no more; returns whether it does as it is told. */
async function blurred(track: MediaStreamTrack, on: boolean, tapped?: Tap): Promise<boolean> {
	if (!canBlur(track)) return false;
	const constraints = { ...track.getConstraints(), backgroundBlur: on } as MediaTrackConstraints;
	try {
		await track.applyConstraints(constraints);
		await tapped?.constrain(constraints);
		return true;
	} catch {
		return false;
	}
}

function canBlur(track: MediaStreamTrack): boolean {
	const able = (track.getCapabilities?.() ?? {}) as { backgroundBlur?: readonly boolean[] };
	return able.backgroundBlur?.includes(true) === true;
}
