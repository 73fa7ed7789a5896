/** One track that comes in: its groups, its decoder, and what is asked for when something is missing. */

import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import { Kind, type Offer, type Record } from "../../core/media/wasm/session.ts";
import type { CatalogTrack } from "./catalog.ts";
import { Rates } from "./rates.ts";
import { TICKS_MS } from "./timeline.ts";
import { type Board, Wish } from "./wish.ts";

/** How long the relay may wait for a publisher that is about to come. */
const RENDEZVOUS_MS = 10_000;
/** What is older need not be sent: half of what the publisher allows. */
const TIMEOUT_MS = 800;
/** Pictures inside the decoder: beyond, it is too slow, and the rest of the group is left out. */
const QUEUE_MAX = 8;
/** A new group is asked for once in this time at most. */
const ASK_MS = 500;
/** And again when none came. */
const WAIT_MS = 2_000;
const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 60_000;
/** Decoded pictures whose times are remembered: as many as can be inside. */
const INSIDE_MAX = 32;

export interface ReceptionOwner {
	/** Milliseconds later than possible, as pictures come. */
	arrived(ticks: number): void;
	/** A picture, which is the owner's from then on. */
	picture(reception: Reception, frame: VideoFrame, ticks: number, arrivedAt: number): void;
	/** Pictures that cannot be shown are the owner's to count. */
	dropped(): void;
	failed(detail: string): void;
}

export class Reception {
	readonly track: CatalogTrack;
	readonly #owner: ReceptionOwner;
	readonly #wish: Wish;
	readonly #rates = new Rates();
	readonly #inside = new Map<number, { ticks: number; at: number }>();
	#decoder: VideoDecoder | null = null;
	#config: Uint8Array = new Uint8Array(0);
	#group = -1;
	#object = -1;
	#needsKey = true;
	#askedAt = performance.now();
	#errors: number[] = [];
	#cuts = 0;
	#over = false;
	#pictureAt: number | null = null;

	constructor(board: Board, offer: Offer, track: CatalogTrack, priority: number, owner: ReceptionOwner) {
		this.track = track;
		this.#owner = owner;
		this.#wish = new Wish(board, offer, {
			ask: (session: MoqSession, key) => session.watch(key, offer, RENDEZVOUS_MS, priority, TIMEOUT_MS),
			told: (record) => this.#told(record),
			interrupted: () => {
				this.#needsKey = true;
			},
			refused: (detail) => owner.failed(detail),
		});
		this.#wish.start();
	}

	get cuts(): number {
		return this.#cuts;
	}

	/** When the last picture came, ms; null: none did. */
	get pictureAt(): number | null {
		return this.#pictureAt;
	}

	rates(now: number): { fps: number; kbps: number } {
		return this.#rates.rates(now);
	}

	/** Called now and then: what was asked for and did not come is asked for again. */
	look(now: number): void {
		if (this.#needsKey && now - this.#askedAt >= WAIT_MS) this.#ask(now);
	}

	close(): void {
		this.#over = true;
		this.#wish.stop();
		if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = null;
	}

	#told(record: Record): void {
		switch (record.kind) {
			case Kind.Picture:
				this.#picture(record);
				return;
			case Kind.Cut:
				this.#cuts++;
				if (Number(record.group) >= this.#group) this.#missing();
		}
	}

	#picture(record: Record): void {
		const now = performance.now();
		const [group, object] = [Number(record.group), Number(record.object)];
		const independent = (record.code & INDEPENDENT) !== 0;
		this.#pictureAt = now;
		this.#rates.count(record.bytes.length, now);
		if (record.at >= 0) this.#owner.arrived(record.at);
		if (group < this.#group || (group === this.#group && object <= this.#object)) return;
		const follows = group === this.#group && object === this.#object + 1 && !this.#needsKey;
		if (!independent && !follows) {
			this.#owner.dropped();
			this.#missing();
			return;
		}
		this.#group = group;
		this.#object = object;
		if (!independent && (this.#decoder?.decodeQueueSize ?? 0) > QUEUE_MAX) {
			this.#owner.dropped();
			this.#missing();
			return;
		}
		if (independent) this.#needsKey = false;
		this.#decode(record, independent, now);
	}

	#decode(record: Record, independent: boolean, now: number): void {
		const config = record.bytes.subarray(0, record.ticks);
		const timestamp = Math.round((Math.max(0, record.at) * 1000) / TICKS_MS);
		try {
			const decoder = this.#ready(config);
			if (this.#inside.size >= INSIDE_MAX) this.#inside.clear();
			this.#inside.set(timestamp, { ticks: record.at, at: now });
			const type = independent ? "key" : "delta";
			decoder.decode(new EncodedVideoChunk({ type, timestamp, data: record.bytes.subarray(record.ticks) }));
		} catch (error) {
			this.#broken(error);
		}
	}

	#ready(config: Uint8Array): VideoDecoder {
		const same = config.length === 0 || (config.length === this.#config.length && config.every((byte, i) => byte === this.#config[i]));
		if (this.#decoder !== null && same) return this.#decoder;
		if (!same) this.#config = config.slice();
		const decoder = this.#decoder ?? this.#make();
		this.#decoder = decoder;
		decoder.configure({
			codec: this.track.codec,
			optimizeForLatency: true,
			...(this.#config.length > 0 && { description: this.#config }),
		});
		return decoder;
	}

	#make(): VideoDecoder {
		const decoder: VideoDecoder = new VideoDecoder({
			output: (frame) => this.#decoded(decoder, frame),
			error: (error) => {
				if (this.#decoder === decoder) this.#broken(error);
			},
		});
		return decoder;
	}

	#decoded(decoder: VideoDecoder, frame: VideoFrame): void {
		const inside = this.#inside.get(frame.timestamp);
		this.#inside.delete(frame.timestamp);
		if (this.#over || this.#decoder !== decoder || inside === undefined) frame.close();
		else this.#owner.picture(this, frame, inside.ticks, inside.at);
	}

	/** Nothing can be shown until a group begins. */
	#missing(): void {
		this.#needsKey = true;
		const now = performance.now();
		if (now - this.#askedAt >= ASK_MS) this.#ask(now);
	}

	#ask(now: number): void {
		this.#askedAt = now;
		const hold = this.#wish.hold;
		if (hold !== null) hold.session.askGroup(hold.key, this.#group + 1);
	}

	#broken(error: unknown): void {
		if (this.#over) return;
		if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = null;
		this.#inside.clear();
		const now = performance.now();
		this.#errors = [...this.#errors.filter((at) => now - at < RESTART_WINDOW_MS), now];
		if (this.#errors.length > RESTARTS_MAX) {
			this.close();
			this.#owner.failed(`decoder of ${this.track.name}: ${String(error)}`);
		} else this.#missing();
	}
}

/** Bit of a picture's `code`: it needs no other one. */
const INDEPENDENT = 1;
