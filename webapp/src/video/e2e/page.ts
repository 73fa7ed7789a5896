/** A page that shows test cards and reads them back, driven by `webapp/e2e/video.test.mjs`. */

import type { MediaEngine, MediaEngineOptions, RelayAddress, RoomMedia } from "../../core/media/api.ts";
import { createMediaEngine } from "../../core/media/engine.ts";
import type { CameraOptions, TileSize, VideoEngine, VideoSource, VideoStats, Watch } from "../api.ts";
import { createVideoEngine } from "../engine.ts";
import { epochNow } from "../messages.ts";
import { draw, read } from "./card.ts";

/** Numbers that are remembered: minutes of cards. */
const LOG_MAX = 20_000;

/** A picture that was seen: its number, when, how large, and by which track. */
interface Seen {
	readonly number: number | null;
	readonly at: number;
	readonly width: number;
}

interface Watched {
	readonly watch: Watch;
	readonly canvas: HTMLCanvasElement;
	readonly seen: Seen[];
}

const media = createMediaEngine();
const log: string[] = [];
const drawn: Record<number, number> = {};
const watched = new Map<string, Watched>();
const cards = new Map<VideoSource, ReturnType<typeof setInterval>>();
let engine: MediaEngine = media;
let video: VideoEngine | null = null;
let number = 0;

/** Nothing was drawn: it has the size that canvases are born with. */
const isFresh = ({ width, height }: HTMLCanvasElement): boolean => width === 300 && height === 150;

function theVideo(): VideoEngine {
	if (video === null) throw new Error("not begun");
	return video;
}

const stage = {
	log,
	drawn,

	async begin(address: RelayAddress, room: RoomMedia, options: MediaEngineOptions & { microphone?: boolean } = {}) {
		const { microphone = true, ...rest } = options;
		engine = createMediaEngine(rest);
		engine.on("state", ({ name }) => log.push(`state ${name}`));
		engine.on("heard", ({ participant }) => log.push(`heard ${participant}`));
		engine.on("error", ({ message }) => log.push(`error ${message}`));
		await engine.start();
		if (microphone) {
			await engine.openMicrophone({ echoCancellation: false, noiseSuppression: false, autoGainControl: false });
		}
		await engine.probe();
		await engine.connect(address);
		engine.join(room);
		video = createVideoEngine({ engine, media: room });
		video.on("picture", ({ participant, source, state }) => log.push(`${source} of ${participant} ${state}`));
		video.on("sending", ({ camera, screen }) => log.push(`sending ${camera} ${screen}`));
		video.on("ended", ({ source }) => log.push(`ended ${source}`));
		video.on("error", ({ message }) => log.push(`error ${message}`));
		return engine.state;
	},

	/** Shows a card of that size, so many times a second. */
	async card(source: VideoSource, { width, height, fps }: { width: number; height: number; fps: number }) {
		const canvas = document.createElement("canvas");
		canvas.width = width;
		canvas.height = height;
		const context = canvas.getContext("2d", { alpha: false });
		if (context === null) throw new Error("no canvas");
		const next = () => {
			number = (number + 1) & 0xffff;
			draw(context, width, height, number);
			drawn[number] = epochNow();
		};
		next();
		clearInterval(cards.get(source));
		cards.set(source, setInterval(next, 1000 / fps));
		const [track] = canvas.captureStream(fps).getVideoTracks();
		if (track === undefined) throw new Error("no track");
		await (source === "camera" ? theVideo().cameraOn({ track }) : theVideo().screenOn({ track }));
	},

	/** The card stands still. */
	freeze(source: VideoSource) {
		clearInterval(cards.get(source));
	},

	camera: (options: CameraOptions = {}) => theVideo().cameraOn(options),
	screen: () => theVideo().screenOn(),
	hide: (source: VideoSource) => (source === "camera" ? theVideo().cameraOff() : theVideo().screenOff()),

	watch(participant: string, source: VideoSource, size: TileSize) {
		const canvas = document.createElement("canvas");
		canvas.style.width = "320px";
		document.body.append(canvas);
		const seen: Seen[] = [];
		const watch = theVideo().watch(participant, source, canvas, size);
		watched.set(`${participant} ${source}`, { watch, canvas, seen });
		const look = () => {
			requestAnimationFrame(look);
			if (isFresh(canvas)) return;
			const at = epochNow();
			const now = read(canvas);
			const last = seen.at(-1);
			if (last?.number === now && last.width === canvas.width) return;
			if (seen.length < LOG_MAX) seen.push({ number: now, at, width: canvas.width });
		};
		requestAnimationFrame(look);
	},

	resize(participant: string, source: VideoSource, size: TileSize) {
		watched.get(`${participant} ${source}`)?.watch.resize(size);
	},

	stop(participant: string, source: VideoSource) {
		watched.get(`${participant} ${source}`)?.watch.stop();
	},

	/** What was seen since the last time. */
	seen: (participant: string, source: VideoSource) => watched.get(`${participant} ${source}`)?.seen.splice(0) ?? [],

	/** How many there are since then. */
	count: (participant: string, source: VideoSource) => watched.get(`${participant} ${source}`)?.seen.length ?? 0,

	/** The width of what a tile shows; 0: nothing yet. */
	width(participant: string, source: VideoSource) {
		const canvas = watched.get(`${participant} ${source}`)?.canvas;
		return canvas === undefined || isFresh(canvas) ? 0 : canvas.width;
	},

	/** The mean brightness of a tile, and how much it varies, to tell a picture from a black one. */
	light(participant: string, source: VideoSource) {
		const canvas = watched.get(`${participant} ${source}`)?.canvas;
		const data = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
		if (canvas === undefined || data === undefined) return null;
		const values = Array.from({ length: data.length / 4 }, (_, i) => data[i * 4 + 1] ?? 0);
		const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
		const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
		return { width: canvas.width, height: canvas.height, mean, spread };
	},

	stats: (): Promise<VideoStats> => theVideo().stats(),
	mediaStats: () => engine.stats(),
	/** How the session travels. */
	way: () => (engine.state.name === "connected" ? engine.state.way : engine.state.name),
	probe: () => engine.probe(),
	support: () => theVideo().support,
	blur: (on: boolean) => theVideo().blur(on),
	close: () => theVideo().close(),
};

(globalThis as unknown as { page: typeof stage }).page = stage;
