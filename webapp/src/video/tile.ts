/** One tile: pictures wait for the voice of the same moment, and are drawn. */

import type { TileSize, Watch } from "./api.ts";
import { epochNow } from "./messages.ts";

/** Pictures that wait to be drawn; more and the oldest goes. */
const WAITING_MAX = 3;
/** A picture this far ahead of its voice is not of the same time line. */
const AHEAD_MS_MAX = 500;
/** A screen draws this often; what is due before the next time is due now. */
const FRAME_MS = 8;

export interface TileOwner {
	/** How long voice waits from its earliest arrival to its playing, ms; null: unknown. */
	voiceDelayMs(): number | null;
	taken(): void;
	resize(size: TileSize): void;
	resized(width: number, height: number): void;
	stop(): void;
}

interface Waiting {
	readonly frame: VideoFrame;
	readonly arrivedAt: number;
	readonly voiceAt: number | null;
}

export class Tile implements Watch {
	readonly #canvas: HTMLCanvasElement;
	readonly #owner: TileOwner;
	#waiting: Waiting[] = [];
	#scheduled = 0;
	#over = false;
	#dropped = 0;
	#delayMs = 0;
	#behindVoiceMs: number | null = null;
	#window: HTMLVideoElement | null = null;

	constructor(canvas: HTMLCanvasElement, owner: TileOwner) {
		this.#canvas = canvas;
		this.#owner = owner;
	}

	get figures(): { delayMs: number; behindVoiceMs: number | null; dropped: number } {
		return { delayMs: this.#delayMs, behindVoiceMs: this.#behindVoiceMs, dropped: this.#dropped };
	}

	/** Takes a picture, which is the tile's from then on. */
	picture(waiting: Waiting): void {
		if (this.#over) {
			waiting.frame.close();
			this.#owner.taken();
			return;
		}
		this.#waiting.push(waiting);
		if (this.#waiting.length > WAITING_MAX) this.#drop(this.#waiting.shift());
		// A page that is out of sight is not asked to draw, but its picture may float elsewhere.
		if (document.visibilityState === "hidden") this.#draw();
		else this.#scheduled ||= requestAnimationFrame(() => this.#draw());
	}

	resize(size: TileSize): void {
		if (!this.#over) this.#owner.resize(size);
	}

	async popOut(): Promise<boolean> {
		if (this.#over || !canPopOut()) return false;
		try {
			const video = (this.#window ??= document.createElement("video"));
			video.muted = true;
			video.srcObject ??= this.#canvas.captureStream();
			await video.play();
			await video.requestPictureInPicture();
			return true;
		} catch {
			return false;
		}
	}

	stop(): void {
		if (this.#over) return;
		this.#over = true;
		cancelAnimationFrame(this.#scheduled);
		for (const waiting of this.#waiting.splice(0)) this.#drop(waiting);
		if (this.#window !== null) {
			if (document.pictureInPictureElement === this.#window) void document.exitPictureInPicture().catch(() => {});
			this.#window.srcObject = null;
		}
		this.#owner.stop();
	}

	#draw(): void {
		this.#scheduled = 0;
		const now = epochNow();
		const delay = this.#owner.voiceDelayMs();
		const dueAt = ({ voiceAt }: Waiting) => {
			const due = voiceAt === null || delay === null ? 0 : voiceAt + delay;
			return due - now > AHEAD_MS_MAX ? 0 : due;
		};
		const due = this.#waiting.findLastIndex((waiting) => dueAt(waiting) <= now + FRAME_MS);
		const ready = this.#waiting.splice(0, due + 1);
		const newest = ready.pop();
		for (const late of ready) this.#drop(late);
		if (newest !== undefined) {
			this.#paint(newest.frame);
			this.#delayMs = Math.round(now - newest.arrivedAt);
			const voiceDue = dueAt(newest);
			this.#behindVoiceMs = voiceDue === 0 ? null : Math.round(now - voiceDue);
			newest.frame.close();
			this.#owner.taken();
		}
		if (this.#waiting.length > 0 && !this.#over && document.visibilityState !== "hidden") {
			this.#scheduled ||= requestAnimationFrame(() => this.#draw());
		}
	}

	#paint(frame: VideoFrame): void {
		const { displayWidth: width, displayHeight: height } = frame;
		if (this.#canvas.width !== width || this.#canvas.height !== height) {
			this.#canvas.width = width;
			this.#canvas.height = height;
			this.#owner.resized(width, height);
		}
		this.#canvas.getContext("2d", { alpha: false })?.drawImage(frame, 0, 0, width, height);
	}

	#drop(waiting: Waiting | undefined): void {
		if (waiting === undefined) return;
		waiting.frame.close();
		this.#dropped++;
		this.#owner.taken();
	}
}

/** Whether this browser shows pictures in a window of their own. */
export function canPopOut(): boolean {
	return globalThis.document?.pictureInPictureEnabled === true && "captureStream" in HTMLCanvasElement.prototype;
}
