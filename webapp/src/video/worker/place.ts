/** Our place in one room: what we show there, and what its tiles watch. */

import { Kind, type Record } from "../../core/media/wasm/session.ts";
import type { VideoMedia, VideoSource } from "../api.ts";
import { type VideoOrder, type VideoReport, epochNow } from "../messages.ts";
import { type Catalog, entries, read } from "./catalog.ts";
import { allowed, type CodecName } from "./codecs.ts";
import type { Ladder } from "./ladder.ts";
import { Source, VoiceClock } from "./source.ts";
import { Timeline } from "./timeline.ts";
import { Watched } from "./watched.ts";
import { type Board, Wish } from "./wish.ts";

/** How long the relay may wait for a catalog. */
const RENDEZVOUS_MS = 10_000;
/** Tiles of one place: more than fit on a screen. */
const WATCHED_MAX = 64;
/** People whose catalogs and clocks are remembered. */
const PEOPLE_MAX = 256;

export interface PlaceOwner {
	readonly board: Board;
	readonly decodes: readonly CodecName[];
	/** Our catalog in that room lists these besides the voice. */
	catalog(room: string, more: { tracks: object[]; decodes: readonly string[] }): void;
	/** Sizes should be chosen anew. */
	choose(): void;
	closed(place: Place): void;
}

/** Somebody of whom we watch something. */
interface Person {
	readonly wish: Wish;
	catalog: Catalog | null;
}

export class Place {
	readonly #owner: PlaceOwner;
	readonly #port: MessagePort;
	readonly #clock = new VoiceClock();
	readonly #sources = new Map<VideoSource, Source>();
	readonly #watched = new Map<number, Watched>();
	readonly #people = new Map<string, Person>();
	readonly #timelines = new Map<string, Timeline>();
	#media: VideoMedia | null = null;

	constructor(port: MessagePort, owner: PlaceOwner) {
		this.#port = port;
		this.#owner = owner;
		port.onmessage = ({ data }: MessageEvent<VideoOrder>) => this.#order(data);
	}

	get room(): string | null {
		return this.#media?.room ?? null;
	}

	get watched(): Iterable<Watched> {
		return this.#watched.values();
	}

	/** A voice packet of somebody here came. */
	heard(participant: string, ticks: number, now: number): void {
		if (this.#people.has(participant)) this.#timeline(participant).heard(ticks, now);
	}

	look(now: number): void {
		for (const watched of this.#watched.values()) watched.look(now);
	}

	/** Tells the rooms what our catalog lists; again when one of them began. */
	tellCatalog(): void {
		if (this.#media === null) return;
		const tracks = [...this.#sources.values()].flatMap((source) => source.entries());
		this.#owner.catalog(this.#media.room, { tracks: entries(tracks), decodes: this.#owner.decodes });
	}

	#order(order: VideoOrder): void {
		switch (order.type) {
			case "place":
				this.#place(order.media);
				return;
			case "show":
				this.#show(order.source, order.frames);
				return;
			case "frame": {
				const source = this.#sources.get(order.source);
				if (source === undefined) order.frame.close();
				else source.take(order.frame);
				this.#report({ type: "used", source: order.source });
				return;
			}
			case "hide":
				this.#hide(order.source);
				return;
			case "clock":
				this.#clock.tell(order.ticks, order.at);
				return;
			case "watch":
				this.#watch(order);
				return;
			case "resize": {
				const watched = this.#watched.get(order.id);
				if (watched !== undefined) watched.size = order.size;
				this.#owner.choose();
				return;
			}
			case "unwatch":
				this.#unwatch(order.id);
				return;
			case "taken":
				this.#watched.get(order.id)?.taken();
				return;
			case "stats":
				this.#stats(order.id);
				return;
			case "close":
				this.#close();
		}
	}

	#place(media: VideoMedia): void {
		const before = this.#media;
		this.#media = media;
		if (before === null || JSON.stringify(before) === JSON.stringify(media)) {
			this.tellCatalog();
			return;
		}
		for (const source of this.#sources.values()) source.renew();
		this.tellCatalog();
		// Everything is asked for anew: the old token may have ended.
		const now = performance.now();
		for (const watched of this.#watched.values()) watched.take(-1, now);
		for (const [participant, { wish }] of [...this.#people]) {
			wish.stop();
			this.#people.delete(participant);
			this.#person(participant, wish.offer.namespace);
		}
		this.#owner.choose();
	}

	#show(source: VideoSource, frames: ReadableStream<VideoFrame> | null): void {
		this.#hide(source);
		const place = this;
		const shown = new Source(source, {
			board: this.#owner.board,
			get namespace() {
				return place.#media?.namespace ?? [];
			},
			get token() {
				return place.#media?.token ?? "";
			},
			ticks: () => this.#clock.ticks,
			allow: (name) => this.#allow(name),
			changed: () => this.tellCatalog(),
			failed: (code, detail) => this.#report({ type: "failed", source, code, detail }),
		});
		this.#sources.set(source, shown);
		if (frames !== null) void shown.read(frames);
	}

	#hide(source: VideoSource): void {
		const shown = this.#sources.get(source);
		if (shown === undefined) return;
		this.#sources.delete(source);
		shown.close();
		this.tellCatalog();
	}

	/** What everybody whose catalog is known can show. */
	#allow(name: CodecName): boolean {
		const lists = [...this.#people.values()].map(({ catalog }) => catalog?.decodes).filter((list) => list !== undefined);
		return allowed(lists)(name);
	}

	#watch({ id, participant, source, size }: VideoOrder & { type: "watch" }): void {
		if (this.#media === null || this.#watched.size >= WATCHED_MAX || this.#people.size >= PEOPLE_MAX) return;
		const namespace = [...this.#media.namespace.slice(0, -1), participant];
		const place = this;
		const watched = new Watched(id, { participant, source, namespace }, size, this.#timeline(participant), {
			board: this.#owner.board,
			get token() {
				return place.#media?.token ?? "";
			},
			picture: (frame, ticks, at) => this.#picture(id, participant, { frame, ticks, at }),
			state: (state) => this.#report({ type: "state", id, state }),
			failed: (detail) => this.#report({ type: "failed", source: null, code: "codec_failed", detail }),
			changed: () => this.#owner.choose(),
		});
		this.#watched.set(id, watched);
		const person = this.#person(participant, namespace);
		if (person.catalog !== null) watched.offer(person.catalog);
	}

	#picture(id: number, participant: string, { frame, ticks, at }: { frame: VideoFrame; ticks: number; at: number }): void {
		const voiceAt = this.#timeline(participant).voiceAt(ticks, at);
		const epoch = epochNow() - performance.now();
		this.#report(
			{ type: "picture", id, frame, arrivedAt: at + epoch, voiceAt: voiceAt === null ? null : voiceAt + epoch },
			[frame],
		);
	}

	#unwatch(id: number): void {
		const watched = this.#watched.get(id);
		if (watched === undefined) return;
		this.#watched.delete(id);
		watched.close();
		const { participant } = watched;
		if ([...this.#watched.values()].some((other) => other.participant === participant)) return;
		this.#people.get(participant)?.wish.stop();
		this.#people.delete(participant);
		this.#timelines.delete(participant);
	}

	#person(participant: string, namespace: readonly string[]): Person {
		const known = this.#people.get(participant);
		if (known !== undefined) return known;
		const offer = { namespace, name: "catalog", token: this.#media?.token ?? "" };
		const person: Person = {
			wish: new Wish(this.#owner.board, offer, {
				ask: (session, key) => session.follow(key, offer, RENDEZVOUS_MS),
				told: (record) => this.#told(participant, person, record),
				interrupted: () => {},
				// Nobody may be seen there; a new token asks again.
				refused: () => {},
			}),
			catalog: null,
		};
		this.#people.set(participant, person);
		person.wish.start();
		return person;
	}

	#told(participant: string, person: Person, record: Record): void {
		if (record.kind !== Kind.Object) return;
		const catalog = read(record.bytes);
		if (catalog === null) return;
		person.catalog = catalog;
		for (const watched of this.#watched.values()) if (watched.participant === participant) watched.offer(catalog);
		// Somebody who cannot show what we send is no reason to send nothing.
		for (const source of this.#sources.values()) void source.prepare();
	}

	#timeline(participant: string): Timeline {
		let timeline = this.#timelines.get(participant);
		if (timeline === undefined) {
			timeline = new Timeline();
			this.#timelines.set(participant, timeline);
		}
		return timeline;
	}

	#stats(id: number): void {
		const now = performance.now();
		const sent = [...this.#sources.values()].flatMap((source) => source.stats(now));
		const watched = [...this.#watched.values()].map((one) => one.stats(now));
		this.#report({ type: "stats", id, stats: { sent, watched } });
	}

	#close(): void {
		for (const source of [...this.#sources.keys()]) this.#hide(source);
		for (const id of [...this.#watched.keys()]) this.#unwatch(id);
		this.#port.close();
		this.#owner.closed(this);
	}

	#report(report: VideoReport, transfer: Transferable[] = []): void {
		this.#port.postMessage(report, transfer);
	}
}

/** Chooses the sizes of all tiles of all places. */
export function chooseSizes(places: Iterable<Place>, ladder: Ladder, now: number): void {
	const all = [...places].flatMap((place) => [...place.watched]);
	const chosen = ladder.choose(
		all.map((watched) => watched.view(now)),
		now,
	);
	for (const watched of all) watched.take(chosen.get(watched.serial) ?? -1, now);
}
