/** One size of a source: pictures in, coded ones out, a group for each that needs none before it. */

import type { SentVideo, VideoSource } from "../api.ts";
import type { CatalogTrack } from "./catalog.ts";
import { encoderConfig } from "./codecs.ts";
import { Rates } from "./rates.ts";
import { TICKS_MS } from "./timeline.ts";

/** What a size is for. */
export interface Plan {
	readonly track: string;
	readonly source: VideoSource;
	/** Publisher priority: voice has 0x20. */
	readonly priority: number;
	/** The most that it may measure, and its share of the source's size. */
	readonly width: number;
	readonly height: number;
	readonly scale: number;
	readonly framerate: number;
	/** Bits for each pixel of each picture. */
	readonly bits: number;
}

/** A coded picture, ready to be sent. */
export interface Coded {
	readonly group: number;
	readonly object: number;
	readonly at: number;
	readonly independent: boolean;
	readonly config: Uint8Array;
	readonly bytes: Uint8Array;
}

/** Even without a wish a group ends after this: who lost its beginning comes in again. */
const GROUP_MS_MAX = 10_000;
/** Two wishes within this are answered by one picture. */
const KEY_MS_MIN = 300;
/** Pictures inside the encoder: it is behind, and more would only be later. */
const QUEUE_MAX = 2;
/** Restarts after errors within the window; beyond, the size is given up. */
const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 60_000;
const BITRATE_MIN = 60_000;
const NOTHING = new Uint8Array(0);

export class Layer {
	readonly plan: Plan;
	readonly #codec: string;
	readonly #output: (coded: Coded) => void;
	readonly #fail: (detail: string) => void;
	readonly #rates = new Rates();
	#encoder: VideoEncoder | null = null;
	#size = { width: 0, height: 0 };
	#share = 1;
	#description: Uint8Array = NOTHING;
	#group: number | null = null;
	#object = 0;
	/** The next picture begins a group. */
	#key = true;
	/** Somebody wants that, soon. */
	#wanted = false;
	#keyAt = Number.NEGATIVE_INFINITY;
	#lastTicks = Number.NEGATIVE_INFINITY;
	#errors: number[] = [];
	#over = false;
	#skipped = 0;
	#keys = 0;

	/** `fail` is told once, when it is given up. */
	constructor(plan: Plan, codec: string, output: (coded: Coded) => void, fail: (detail: string) => void) {
		this.plan = plan;
		this.#codec = codec;
		this.#output = output;
		this.#fail = fail;
	}

	/** What the catalog says of it, for a source of that size. */
	static entry(plan: Plan, codec: string, source: { width: number; height: number }): CatalogTrack {
		const { width, height } = fit(plan, source);
		const { track: name, framerate } = plan;
		return { name, source: plan.source, codec, width, height, framerate, bitrate: bitrate(plan, width, height) };
	}

	/** The group that is being sent; null: none yet. */
	get group(): number | null {
		return this.#group;
	}

	/** Whether a picture is owed that begins a group. */
	get owesKey(): boolean {
		return this.#key || this.#wanted;
	}

	/** Somebody wants a group above `above`; null: any new one. */
	wantKey(above: number | null): void {
		if (above !== null && this.#group !== null && this.#group >= above) return;
		this.#wanted = true;
	}

	/** How much of its bitrate it may use. */
	setShare(share: number): void {
		if (share === this.#share) return;
		this.#share = share;
		if (this.#encoder?.state === "configured") this.#encoder.configure(this.#config());
	}

	/** Codes a picture, or leaves it out; it stays the caller's. */
	encode(frame: VideoFrame, ticks: number): void {
		if (this.#over) return;
		const now = performance.now();
		const age = now - this.#keyAt;
		if (age > GROUP_MS_MAX || (this.#wanted && age >= KEY_MS_MIN)) this.#key = true;
		const early = ticks - this.#lastTicks < (0.8 * 1000 * TICKS_MS) / this.plan.framerate;
		// A clock that went back begins anew.
		if (early && !this.#key && ticks > this.#lastTicks) return;
		try {
			const encoder = this.#ready(frame);
			if (encoder.encodeQueueSize > QUEUE_MAX) {
				this.#skipped++;
				return;
			}
			const stamped = new VideoFrame(frame, { timestamp: Math.round((ticks * 1000) / TICKS_MS) });
			const keyFrame = this.#key;
			if (keyFrame) this.#keyAt = now;
			if (keyFrame) this.#wanted = false;
			this.#key = false;
			this.#lastTicks = ticks;
			try {
				encoder.encode(stamped, { keyFrame });
			} finally {
				stamped.close();
			}
		} catch (error) {
			this.#broken(error);
		}
	}

	/** A picture was left out because the network is behind. */
	skip(): void {
		this.#skipped++;
	}

	stats(now: number): SentVideo {
		const { track, source } = this.plan;
		return { source, track, codec: this.#codec, ...this.#size, ...this.#rates.rates(now), skipped: this.#skipped, keys: this.#keys };
	}

	/** Nobody watches: the encoder goes, the numbers stay. */
	rest(): void {
		if (this.#encoder !== null && this.#encoder.state !== "closed") this.#encoder.close();
		this.#encoder = null;
		this.#key = true;
		this.#lastTicks = Number.NEGATIVE_INFINITY;
	}

	close(): void {
		this.#over = true;
		this.rest();
	}

	#ready(frame: VideoFrame): VideoEncoder {
		const size = fit(this.plan, { width: frame.displayWidth, height: frame.displayHeight });
		const changed = size.width !== this.#size.width || size.height !== this.#size.height;
		if (this.#encoder !== null && !changed) return this.#encoder;
		this.rest();
		this.#size = size;
		const encoder = new VideoEncoder({
			output: (chunk, metadata) => {
				if (this.#encoder === encoder) this.#chunk(chunk, metadata);
			},
			error: (error) => {
				if (this.#encoder === encoder) this.#broken(error);
			},
		});
		this.#encoder = encoder;
		encoder.configure(this.#config());
		return encoder;
	}

	#config(): VideoEncoderConfig {
		const { width, height } = this.#size;
		const { source, framerate } = this.plan;
		const full = bitrate(this.plan, width, height);
		return encoderConfig(this.#codec, source, { width, height, framerate, bitrate: Math.round(full * this.#share) });
	}

	#chunk(chunk: EncodedVideoChunk, metadata: EncodedVideoChunkMetadata | undefined): void {
		const description = metadata?.decoderConfig?.description;
		if (description !== undefined) this.#description = copy(description);
		const independent = chunk.type === "key";
		if (independent) {
			// As voice does: groups begin with the wall clock, so that who comes back goes on above.
			this.#group = Math.max(Math.floor(Date.now() / 1000), (this.#group ?? 0) + 1);
			this.#object = 0;
			this.#keys++;
		}
		if (this.#group === null) return;
		const bytes = new Uint8Array(chunk.byteLength);
		chunk.copyTo(bytes);
		this.#rates.count(bytes.length, performance.now());
		const config = independent ? this.#description : NOTHING;
		const at = Math.max(0, Math.round((chunk.timestamp * TICKS_MS) / 1000));
		this.#output({ group: this.#group, object: this.#object++, at, independent, config, bytes });
	}

	/** The next picture makes a new encoder, a few times a minute. */
	#broken(error: unknown): void {
		if (this.#over) return;
		this.rest();
		const now = performance.now();
		this.#errors = [...this.#errors.filter((at) => now - at < RESTART_WINDOW_MS), now];
		if (this.#errors.length <= RESTARTS_MAX) return;
		this.#over = true;
		this.#fail(`encoder of ${this.plan.track}: ${String(error)}`);
	}
}

/** The size for a source; codecs want even numbers. */
export function fit(plan: Pick<Plan, "width" | "height" | "scale">, source: { width: number; height: number }): { width: number; height: number } {
	const most = Math.min(1, plan.width / source.width, plan.height / source.height);
	const scale = Math.min(most, plan.scale * Math.min(1, FULL_WIDTH / source.width));
	const even = (size: number) => Math.max(2, Math.round((size * scale) / 2) * 2);
	return { width: even(source.width), height: even(source.height) };
}

function bitrate(plan: Plan, width: number, height: number): number {
	return Math.max(BITRATE_MIN, Math.round(width * height * plan.framerate * plan.bits));
}

function copy(data: AllowSharedBufferSource): Uint8Array {
	const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
	return bytes.slice();
}

/** What shares of a source's size are taken of, at most. */
const FULL_WIDTH = 1920;
