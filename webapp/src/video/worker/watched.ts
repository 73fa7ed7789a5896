/** A tile: one source of one participant, in the size that fits, changed without a gap. */

import type { TileSize, VideoSource } from "../api.ts";
import { UNDERWAY_MAX, type WorkerVideoStats } from "../messages.ts";
import type { Catalog, CatalogTrack } from "./catalog.ts";
import type { View } from "./ladder.ts";
import { Reception } from "./reception.ts";
import { TICKS_MS, type Timeline } from "./timeline.ts";
import type { Board } from "./wish.ts";

/** A tile whose pictures stay away for so long stands still. */
const WAITING_MS = 2_000;
/** A screen that does not change sends little. */
const WAITING_SCREEN_MS = 15_000;
/** A track's first pictures are large, and both ends get their codecs ready: what is late then says nothing. */
const BEGIN_MS = 2_000;
/** Smoothing of how late pictures are: half a second of them. */
const LATE_WEIGHT = 0.15;
/** Pictures of a clock that goes back by more are of a publisher that began anew. */
const BACK_MS = 2_000;
/** Another size that is so much behind the one that is shown may take its place: a face stands still for so long. */
const BEHIND_MS = 150;
/** And an eighth of the time for which it was awaited: what has not caught up by then will not. */
const BEHIND_PART = 8;
/** A change of size that brings nothing is given up and tried again by the ladder. */
const SWITCH_MS = 5_000;
/** Subscriber priorities: a screen before a face. */
const PRIORITY: Readonly<Record<VideoSource, number>> = { screen: 128, camera: 136 };

let nextSerial = 1;

export interface WatchedOwner {
	readonly board: Board;
	readonly token: string;
	picture(frame: VideoFrame, ticks: number, arrivedAt: number): void;
	state(state: "seen" | "waiting" | "ended"): void;
	failed(detail: string): void;
	/** Another size may be chosen now. */
	changed(): void;
}

export class Watched {
	/** The page's number for it, and ours, which no other tile of any place has. */
	readonly id: number;
	readonly serial = nextSerial++;
	readonly participant: string;
	readonly source: VideoSource;
	readonly #namespace: readonly string[];
	readonly #owner: WatchedOwner;
	readonly #timeline: Timeline;
	size: TileSize;
	#tracks: readonly CatalogTrack[] = [];
	#current: Reception | null = null;
	#next: { reception: Reception; since: number; readonly larger: boolean } | null = null;
	#lateMs = 0;
	/** When the track that is shown began. */
	#beganAt = 0;
	#lastTicks = Number.NEGATIVE_INFINITY;
	#underway = 0;
	#dropped = 0;
	#cuts = 0;
	#switches = 0;
	#state: "none" | "seen" | "waiting" | "ended" = "none";
	#picture = { width: 0, height: 0 };

	constructor(
		id: number,
		{ participant, source, namespace }: { participant: string; source: VideoSource; namespace: readonly string[] },
		size: TileSize,
		timeline: Timeline,
		owner: WatchedOwner,
	) {
		this.id = id;
		this.participant = participant;
		this.source = source;
		this.#namespace = namespace;
		this.size = size;
		this.#timeline = timeline;
		this.#owner = owner;
	}

	/** What the participant offers now. */
	offer(catalog: Catalog): void {
		const tracks = catalog.tracks.filter(({ source }) => source === this.source);
		if (JSON.stringify(tracks) === JSON.stringify(this.#tracks)) return;
		this.#tracks = tracks;
		const known = (reception: Reception | undefined) => tracks.some((track) => same(track, reception?.track));
		if (this.#next !== null && !known(this.#next.reception)) this.#dropNext();
		if (this.#current !== null && !known(this.#current)) {
			this.#cuts += this.#current.cuts;
			this.#current.close();
			this.#current = null;
		}
		if (tracks.length === 0 && this.#state !== "none") this.#say("ended");
		this.#owner.changed();
	}

	/** For the ladder. */
	view(now: number): View {
		const { w, h } = this.size;
		const receptions = [this.#current, this.#next?.reception ?? null];
		const cuts = receptions.reduce((sum, reception) => sum + (reception?.cuts ?? 0), this.#cuts);
		const at = this.#current?.pictureAt ?? null;
		const flows = at !== null && now - at < WAITING_MS && now - this.#beganAt > BEGIN_MS;
		return { id: this.serial, rank: this.source === "screen" ? 0 : 1, rungs: this.#tracks, w, h, lateMs: flows ? this.#lateMs : null, cuts };
	}

	/** Takes the track of that rung; -1: none. */
	take(rung: number, now: number): void {
		const track = this.#tracks[rung];
		if (track === undefined) {
			this.#dropNext();
			this.#cuts += this.#current?.cuts ?? 0;
			this.#current?.close();
			this.#current = null;
			return;
		}
		if (same(track, this.#next?.reception.track)) return;
		if (same(track, this.#current?.track)) {
			this.#dropNext();
			return;
		}
		this.#dropNext();
		const offer = { namespace: this.#namespace, name: track.name, token: this.#owner.token };
		const reception: Reception = new Reception(this.#owner.board, offer, track, PRIORITY[this.source], {
			arrived: (ticks) => this.#arrived(reception, ticks),
			picture: (from, frame, ticks, at) => this.#shown(from, frame, ticks, at),
			dropped: () => {
				this.#dropped++;
			},
			failed: (detail) => this.#failed(reception, detail),
		});
		if (this.#current === null) this.#begin(reception, now);
		else this.#next = { reception, since: now, larger: track.width > this.#current.track.width };
	}

	/** The page has room for another picture. */
	taken(): void {
		this.#underway = Math.max(0, this.#underway - 1);
	}

	/** Called some times a second. */
	look(now: number): void {
		this.#current?.look(now);
		this.#next?.reception.look(now);
		if (this.#next !== null && now - this.#next.since > SWITCH_MS) this.#dropNext();
		const patience = this.source === "screen" ? WAITING_SCREEN_MS : WAITING_MS;
		const at = this.#current?.pictureAt ?? null;
		if (this.#state === "seen" && (at === null || now - at > patience)) this.#say("waiting");
	}

	stats(now: number): WorkerVideoStats["watched"][number] {
		const { id, participant, source } = this;
		return {
			id,
			participant,
			source,
			track: this.#current?.track.name ?? null,
			codec: this.#current?.track.codec ?? "",
			...this.#picture,
			...(this.#current?.rates(now) ?? { fps: 0, kbps: 0 }),
			lateMs: Math.round(this.#lateMs),
			dropped: this.#dropped,
			cuts: this.view(now).cuts,
			switches: this.#switches,
		};
	}

	close(): void {
		this.#dropNext();
		this.#current?.close();
		this.#current = null;
	}

	#begin(reception: Reception, now: number): void {
		this.#current = reception;
		this.#beganAt = now;
		this.#lateMs = 0;
	}

	#arrived(reception: Reception, ticks: number): void {
		const late = this.#timeline.seen(ticks, performance.now());
		if (reception !== this.#current) return;
		this.#lateMs += (late - this.#lateMs) * LATE_WEIGHT;
	}

	#shown(from: Reception, frame: VideoFrame, ticks: number, arrivedAt: number): void {
		const back = this.#lastTicks - ticks;
		if (from === this.#next?.reception) {
			// A smaller one is taken at once: the line may be full of the larger one.
			if (this.#next.larger && this.#mustCatchUp(back, performance.now() - this.#next.since)) {
				frame.close();
				return;
			}
			// A picture of another size that goes on where this one is: from here on it is the one.
			this.#cuts += this.#current?.cuts ?? 0;
			this.#current?.close();
			this.#begin(from, performance.now());
			this.#next = null;
			this.#switches++;
		}
		const stale = back >= 0 && back < BACK_MS * TICKS_MS;
		if (from !== this.#current || stale || this.#underway >= UNDERWAY_MAX) {
			frame.close();
			this.#dropped++;
			return;
		}
		this.#lastTicks = ticks;
		this.#underway++;
		this.#picture = { width: frame.displayWidth, height: frame.displayHeight };
		this.#owner.picture(frame, ticks, arrivedAt);
		this.#say("seen");
	}

	/**
	 * Whether another size is too far behind the one that is shown. Its first picture is large: on its way and in both
	 * codecs it takes longer than those that are shown meanwhile, and none of what is older than these will be shown.
	 */
	#mustCatchUp(backTicks: number, waitedMs: number): boolean {
		const at = this.#current?.pictureAt ?? null;
		const flows = at !== null && performance.now() - at < WAITING_MS;
		const backMs = backTicks / TICKS_MS;
		return flows && backMs < BACK_MS && backMs > Math.max(BEHIND_MS, waitedMs / BEHIND_PART);
	}

	#failed(reception: Reception, detail: string): void {
		if (reception === this.#next?.reception) this.#dropNext();
		else if (reception === this.#current) {
			this.#current = null;
			this.#say("ended");
		}
		this.#owner.failed(detail);
	}

	#dropNext(): void {
		this.#cuts += this.#next?.reception.cuts ?? 0;
		this.#next?.reception.close();
		this.#next = null;
	}

	#say(state: "seen" | "waiting" | "ended"): void {
		if (this.#state === state) return;
		this.#state = state;
		this.#owner.state(state);
	}
}

function same(one: CatalogTrack, other: CatalogTrack | undefined): boolean {
	return one.name === other?.name && one.codec === other.codec;
}
