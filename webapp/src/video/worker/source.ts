/** A camera or screen of ours: its pictures in several sizes, each sent while somebody watches it. */

import type { SentVideo, VideoSource } from "../api.ts";
import { epochNow } from "../messages.ts";
import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import { Kind, type Record } from "../../core/media/wasm/session.ts";
import type { CatalogTrack } from "./catalog.ts";
import { type CodecName, choose } from "./codecs.ts";
import { type Coded, Layer, type Plan } from "./layer.ts";
import { Uplink } from "./uplink.ts";
import { type Board, Wish } from "./wish.ts";

/** Ascending by what they cost. */
const PLANS: Readonly<globalThis.Record<VideoSource, readonly Plan[]>> = {
	camera: [
		{ track: "camera-l", source: "camera", priority: 0x70, width: 320, height: 180, scale: 0.25, framerate: 15, bits: 0.11 },
		{ track: "camera-m", source: "camera", priority: 0x80, width: 640, height: 360, scale: 0.5, framerate: 30, bits: 0.06 },
		{ track: "camera-h", source: "camera", priority: 0x90, width: 1280, height: 720, scale: 1, framerate: 30, bits: 0.045 },
	],
	// The small one is as sharp, so that text stays legible, and moves less.
	screen: [
		{ track: "screen-l", source: "screen", priority: 0x60, width: 1920, height: 1080, scale: 1, framerate: 2, bits: 0.08 },
		{ track: "screen", source: "screen", priority: 0x60, width: 1920, height: 1080, scale: 1, framerate: 15, bits: 0.06 },
	],
};

/** A picture that did not change is sent again this long after it came: it gets sharper, and who comes sees it. */
const AGAIN_MS = 250;
/** So long after a line became narrow all who watch have taken a smaller size, those that have one. */
const NARROWED_MS = 1_500;
/** How often that is looked at. */
const LOOK_MS = 100;
/** So many times: then it is as sharp as it gets. */
const AGAIN_MAX = 3;

export interface SourceOwner {
	readonly board: Board;
	readonly namespace: readonly string[];
	readonly token: string;
	/** What 1/48000 s of the voice's clock it is. */
	ticks(): number;
	allow(name: CodecName): boolean;
	/** The catalog must say something else. */
	changed(): void;
	failed(code: "refused" | "codec_failed", detail: string): void;
}

interface Shown {
	readonly layer: Layer;
	readonly wish: Wish;
	wanted: boolean;
}

export class Source {
	readonly source: VideoSource;
	readonly #owner: SourceOwner;
	readonly #uplink = new Uplink();
	readonly #timer: ReturnType<typeof setInterval>;
	#shown: Shown[] = [];
	#codec: string | null = null;
	#size = { width: 0, height: 0 };
	/** The newest picture, for those who come while nothing changes. */
	#last: VideoFrame | null = null;
	#lastAt = 0;
	#repeats = 0;
	#preparing = false;
	#over = false;

	constructor(source: VideoSource, owner: SourceOwner) {
		this.source = source;
		this.#owner = owner;
		this.#timer = setInterval(() => this.#repeat(), LOOK_MS);
	}

	/** Takes pictures until they end. */
	async read(frames: ReadableStream<VideoFrame>): Promise<void> {
		const reader = frames.getReader();
		try {
			for (let next = await reader.read(); !next.done; next = await reader.read()) {
				if (this.#over) {
					next.value.close();
					break;
				}
				this.take(next.value);
			}
		} catch {
			// The track ended; the page sees it itself.
		}
		reader.cancel().catch(() => {});
	}

	/** Takes a picture, which is the source's from then on. */
	take(frame: VideoFrame): void {
		if (this.#over) {
			frame.close();
			return;
		}
		this.#last?.close();
		this.#last = frame;
		this.#lastAt = performance.now();
		this.#repeats = 0;
		const [width, height] = [frame.displayWidth, frame.displayHeight];
		if (width !== this.#size.width || height !== this.#size.height) {
			this.#size = { width, height };
			if (this.#codec !== null) this.#owner.changed();
		}
		if (this.#codec === null) void this.prepare();
		else this.#encode(frame);
	}

	/** Chooses the codec, and publishes anew if it is another one now. */
	async prepare(): Promise<void> {
		if (this.#preparing || this.#over || this.#size.width === 0) return;
		this.#preparing = true;
		const largest = PLANS[this.source].at(-1) as Plan;
		const wanted = Layer.entry(largest, "", this.#size);
		const codec = await choose(this.source, wanted, (name) => this.#owner.allow(name));
		this.#preparing = false;
		if (this.#over || codec === this.#codec) return;
		if (codec === null) {
			this.#owner.failed("codec_failed", `no codec for ${wanted.width}x${wanted.height}`);
			return;
		}
		this.#codec = codec;
		this.#publish(codec);
		this.#owner.changed();
	}

	/** The token or namespace is another one now. */
	renew(): void {
		if (this.#codec !== null) this.#publish(this.#codec);
	}

	/** What the catalog says. */
	entries(): CatalogTrack[] {
		const codec = this.#codec;
		if (codec === null) return [];
		return this.#shown.map(({ layer }) => Layer.entry(layer.plan, codec, this.#size));
	}

	stats(now: number): SentVideo[] {
		return this.#shown.filter(({ wanted }) => wanted).map(({ layer }) => layer.stats(now));
	}

	close(): void {
		this.#over = true;
		clearInterval(this.#timer);
		this.#unpublish();
		this.#last?.close();
		this.#last = null;
	}

	#publish(codec: string): void {
		this.#unpublish();
		const { namespace, token, board } = this.#owner;
		this.#shown = PLANS[this.source].map((plan) => {
			const layer: Layer = new Layer(
				plan,
				codec,
				(coded) => this.#send(shown, coded),
				(detail) => this.#owner.failed("codec_failed", detail),
			);
			const wish: Wish = new Wish(board, { namespace, name: plan.track, token }, {
				ask: (session, key) => session.show(key, { namespace, name: plan.track, token }, plan.priority),
				told: (record) => this.#told(shown, record),
				interrupted: () => this.#pause(shown),
				refused: (detail) => this.#owner.failed("refused", detail),
			});
			const shown: Shown = { layer, wish, wanted: false };
			return shown;
		});
		for (const { wish } of this.#shown) wish.start();
	}

	#unpublish(): void {
		for (const { layer, wish } of this.#shown) {
			wish.stop();
			layer.close();
		}
		this.#shown = [];
	}

	#told(shown: Shown, record: Record): void {
		switch (record.kind) {
			case Kind.Live:
				shown.wanted = true;
				shown.layer.wantKey(null);
				return;
			case Kind.NewGroup:
				shown.layer.wantKey(record.group === 0n ? null : Number(record.group));
				return;
			case Kind.Idle:
				this.#pause(shown);
		}
	}

	#pause(shown: Shown): void {
		shown.wanted = false;
		shown.layer.rest();
	}

	#encode(frame: VideoFrame): void {
		const wanted = this.#shown.filter((shown) => shown.wanted);
		const { session } = this.#owner.board;
		const waiting = session?.picturesWaiting.ms ?? 0;
		const verdict = this.#uplink.look(waiting, performance.now());
		const sizes = this.#uplink.sizes(wanted.length);
		const ticks = this.#owner.ticks();
		for (const [index, { layer, wish }] of wanted.entries()) {
			const hold = wish.hold;
			if (verdict === "give up" && hold !== null) {
				hold.session.giveUp(hold.key);
				layer.wantKey(null);
			}
			if (verdict !== "send" || index >= sizes || !this.#fits(layer.plan, session)) {
				layer.skip();
				continue;
			}
			layer.setShare(this.#uplink.share);
			layer.encode(frame, ticks);
		}
	}

	/** What is too large for a line that became narrow is not begun again before the watchers could take less. */
	#fits(plan: Plan, session: MoqSession | null): boolean {
		if (session === null) return true;
		const { kbps, narrowedMs } = session.line;
		return narrowedMs > NARROWED_MS || Layer.entry(plan, "", this.#size).bitrate <= kbps * 1000;
	}

	/** Where nothing changes no pictures come: the last one serves again. */
	#repeat(): void {
		if (this.#last === null || this.#codec === null || performance.now() - this.#lastAt < AGAIN_MS) return;
		const owes = this.#shown.some(({ wanted, layer }) => wanted && layer.owesKey);
		if (!owes && this.#repeats >= AGAIN_MAX) return;
		this.#repeats++;
		this.#lastAt = performance.now();
		this.#encode(this.#last);
	}

	#send({ wish, layer, wanted }: Shown, coded: Coded): void {
		const hold = wish.hold;
		if (hold === null || !wanted) return;
		const place = { group: coded.group, object: coded.object };
		if (!hold.session.sendPicture(hold.key, place, coded) && !coded.independent) layer.wantKey(coded.group + 1);
	}
}

/** The voice's clock as the page tells it; until then one of its own. */
export class VoiceClock {
	/** The least that reading it was late: readings come after the fact, never before. */
	#offset: number | null = null;

	/** The sample `ticks` was due at `at`, ms since 1970. */
	tell(ticks: number, at: number): void {
		const offset = ticks - at * 48;
		// A context that stood still, or another one.
		if (this.#offset === null || offset > this.#offset || this.#offset - offset > 48 * STALE_MS) this.#offset = offset;
	}

	get ticks(): number {
		const now = epochNow();
		return Math.round(now * 48 + (this.#offset ?? -START_MS * 48));
	}
}

/** A reading is late by a render quantum of the browser's, at most. */
const STALE_MS = 250;
/** Numbers stay small. */
const START_MS = epochNow() - 1_000;
