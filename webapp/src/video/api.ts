/**
 * What a room's page sees of video: camera and screen out, the others' cameras and screens in.
 *
 * An engine is made for each place in a room by `createVideoEngine` in `./engine.ts`, beside the media
 * engine, whose session with the relay it shares. Everything here is plain data, so that tiles can be
 * tested with a fake that implements {@link VideoEngine}.
 */

/** What somebody shows. */
export type VideoSource = "camera" | "screen";

/** Signaling's `media` of a room fits as it is. */
export interface VideoMedia {
	/** The room's id. */
	readonly room: string;
	/** Our own participant id. */
	readonly participant: string;
	/** Our own track namespace. */
	readonly namespace: readonly string[];
	/** Sent with each PUBLISH and SUBSCRIBE of the room. */
	readonly token: string;
}

/** CSS pixels of a tile, or device pixels where the page knows them. Nothing (0 × 0): out of sight. */
export interface TileSize {
	readonly w: number;
	readonly h: number;
}

export interface CameraOptions {
	/** Missing: the one chosen before, or the system's default. */
	readonly device?: string;
	/** Wishes; default 1280 × 720 at 30. */
	readonly width?: number;
	readonly height?: number;
	readonly framerate?: number;
	/** Instead of a camera: any track of pictures. It is not stopped by the engine. */
	readonly track?: MediaStreamTrack;
}

export interface ScreenOptions {
	/** Instead of asking the browser's user. It is not stopped by the engine. */
	readonly track?: MediaStreamTrack;
}

/** Rejects promises of {@link VideoEngine} and comes with its `error` event. */
export class VideoError extends Error {
	constructor(
		readonly code: VideoErrorCode,
		/** In English, for logs; words for the user belong to `code`. */
		readonly detail = "",
	) {
		super(detail === "" ? code : `${code}: ${detail}`);
		this.name = "VideoError";
	}
}

export type VideoErrorCode =
	/** The user or the browser's settings forbid it, or the user closed the picker. */
	| "blocked"
	/** There is no camera (any more). */
	| "none"
	/** Another program holds it, or the operating system refuses it. */
	| "in_use"
	/** This browser cannot do it: no WebCodecs, no screen sharing (telephones), no secure context. */
	| "unsupported"
	/** The relay does not let us publish: not a speaker's place. */
	| "refused"
	/** No codec of this browser works any more. */
	| "codec_failed"
	| "failed";

/** What this browser can do. */
export interface VideoSupport {
	/** Pictures can be sent. */
	readonly send: boolean;
	/** Pictures can be shown. */
	readonly receive: boolean;
	readonly screen: boolean;
	/** The camera in use (or, before, the browser) can blur what is behind a person. */
	readonly blur: boolean;
	readonly pictureInPicture: boolean;
}

/** Events by name; see {@link VideoEngine.on}. */
export interface VideoEvents {
	/** What we show, after each change. Tell it to the room by the act `video`. */
	sending: { readonly camera: boolean; readonly screen: boolean };
	/** By itself: unplugged, "stop sharing" in the browser's own bar. `sending` comes before. */
	ended: { readonly source: VideoSource };
	/** A watched source began to be seen, stands still because nothing comes, or is over. */
	picture: {
		readonly participant: string;
		readonly source: VideoSource;
		readonly state: "seen" | "waiting" | "ended";
	};
	/** A watched source's picture has another size than before. */
	resized: {
		readonly participant: string;
		readonly source: VideoSource;
		readonly width: number;
		readonly height: number;
	};
	error: VideoError;
}

/** A tile that shows a source; see {@link VideoEngine.watch}. */
export interface Watch {
	/** The tile has another size now. */
	resize(size: TileSize): void;
	/** Shows the picture in a window of its own, in a user's gesture; false where that does not work. */
	popOut(): Promise<boolean>;
	/** Ends it; the canvas keeps its last picture. */
	stop(): void;
}

/** One of our tracks that somebody watches. Rates of the last two seconds. */
export interface SentVideo {
	readonly source: VideoSource;
	/** `camera-l`, `camera-m`, `camera-h`, `screen-l`, `screen`. */
	readonly track: string;
	readonly codec: string;
	readonly width: number;
	readonly height: number;
	readonly fps: number;
	readonly kbps: number;
	/** Pictures left out because encoder or network were behind. */
	readonly skipped: number;
	readonly keys: number;
}

/** One source that we watch. Rates of the last two seconds. */
export interface WatchedVideo {
	readonly participant: string;
	readonly source: VideoSource;
	/** The track that is shown; null: none yet. */
	readonly track: string | null;
	readonly codec: string;
	readonly width: number;
	readonly height: number;
	readonly fps: number;
	readonly kbps: number;
	/** From a picture's arrival in this page's Worker to its showing, ms, the latest. */
	readonly delayMs: number;
	/** How much later than the fastest of the last seconds pictures arrive, ms. */
	readonly lateMs: number;
	/** How far the picture is behind the voice, ms (negative: before it); null: no voice to compare with. */
	readonly behindVoiceMs: number | null;
	/** Pictures that came and were not shown. */
	readonly dropped: number;
	/** Times that the rest of a group was given up, here or by the relay. */
	readonly cuts: number;
	/** Changes of the track. */
	readonly switches: number;
}

export interface VideoStats {
	readonly sent: readonly SentVideo[];
	readonly watched: readonly WatchedVideo[];
}

export interface VideoEngine {
	readonly support: VideoSupport;
	/** What we show now. */
	readonly sending: { readonly camera: boolean; readonly screen: boolean };

	on<K extends keyof VideoEvents>(event: K, listener: (event: VideoEvents[K]) => void): () => void;

	/** Opens the camera and publishes it; with another device while it is on: changes it. Rejects with a {@link VideoError}. */
	cameraOn(options?: CameraOptions): Promise<void>;
	cameraOff(): void;
	/** Asks for a screen or window and publishes it; call it in a user's gesture. Rejects with a {@link VideoError}. */
	screenOn(options?: ScreenOptions): Promise<void>;
	screenOff(): void;
	/** What the own camera or screen sees, for the own tile's `<video>`; null while it is off. */
	preview(source: VideoSource): MediaStream | null;
	/** Blurs what is behind the person, now and after each `cameraOn`; false where the camera cannot. */
	blur(on: boolean): Promise<boolean>;

	/**
	 * Draws a source into a canvas, whose width and height become the picture's: scale it by CSS
	 * (`object-fit` works). The size of the track follows the tile's size and what the network carries.
	 * It may be called before the participant shows anything; pictures come as soon as it does.
	 */
	watch(participant: string, source: VideoSource, canvas: HTMLCanvasElement, size: TileSize): Watch;

	/** After a place was given another token (a new role, resumed). */
	renew(media: VideoMedia): void;

	stats(): Promise<VideoStats>;

	/** Ends everything of this room. */
	close(): void;
}
