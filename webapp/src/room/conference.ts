/**
 * The room without its face: carries out what `reduce` wants, and keeps the sound as the room's state asks for it.
 *
 * The screens read `state` and call the actions; they decide nothing.
 */
import type { WantedRoom } from "../core/call/wanted.ts";
import type { Levels, MediaEngine, MediaEvents, PeerTrack, RoomMedia, TextTrack } from "../core/media/api.ts";
import { mosOf } from "../core/quality.ts";
import { type Done, RequestError } from "../core/signal/line.ts";
import { type Box, Kept, isRecord } from "../core/storage.ts";
import { Store } from "../core/store.ts";
import type { VideoEngine, VideoErrorCode, VideoMedia } from "../video/api.ts";
import { CAPTION_MS, type Caption, caption, fade } from "./captions.ts";
import type { Act, Joined, RoomMedia as PlaceMedia, RoomEvent, RoomRequest, Roster } from "./messages.ts";
import { Files } from "./files.ts";
import { reduce } from "./reduce.ts";
import { SPEAKERS_MS, type Speakers, speakersOf } from "./speakers.ts";
import { NO_ROOM, type RoomInput, type RoomState, type Wish, ringsBack, roleOf, speaks, stayOf } from "./state.ts";

/** Until the server is asked for our place once more. */
const RETRY_MS = 1_000;
/** Sound above this is somebody's voice, dB below full scale. */
const VOICE_DB_MIN = -45;
/** Tracks of people where there are no seats: as many as the media engine takes. */
const PEERS_MAX = 31;
/** Telephones whose words are read: as many as are heard at a time. */
const FOLLOWED_MAX = 5;
/** The others are told how well we hear when it has changed by this much (mean opinion score), */
const MOS_STEP = 0.3;
/** and not more often than that. */
const MOS_MS = 5_000;
/** Between words nobody's ring goes out. */
const VOICE_MS = 600;

export interface ConferenceOptions {
	readonly engine: MediaEngine;
	readonly request: (request: RoomRequest) => Promise<Done>;
	/** The sound, or the microphone, is to be another one now. */
	readonly changed: () => void;
	readonly tab: Box | null;
	/** Makes what shows and sends pictures; missing: there are none. */
	readonly video?: (media: VideoMedia) => VideoEngine;
}

export interface Sending {
	readonly camera: boolean;
	readonly screen: boolean;
}

const NOTHING: Sending = { camera: false, screen: false };

/** A place that the page loaded next may take up again. */
interface Resumed {
	readonly wish: Wish;
	readonly key: string;
	readonly muted: boolean;
}

export class Conference {
	readonly state = new Store<RoomState>(NO_ROOM);
	/** Who speaks now, ourselves included: who is heard here, and who the relay says. */
	readonly speaking = new Store<ReadonlySet<string>>(new Set());
	/** Pictures of the room, while there are any. */
	readonly video = new Store<VideoEngine | null>(null);
	/** What of ours the others see. */
	readonly sending = new Store<Sending>(NOTHING);
	/** What telephones say, in words. */
	readonly captions = new Store<readonly Caption[]>([]);
	readonly files: Files;
	readonly #options: ConferenceOptions;
	readonly #kept: Kept<Resumed>;
	/** When somebody was heard here last. */
	readonly #spokeAt = new Map<string, number>();
	/** What the relay said of it last. */
	#told: Speakers | null = null;
	readonly #gains = new Map<string, number>();
	#wanted: WantedRoom | null = null;
	#away = false;
	/** The room whose people were made louder or softer. */
	#levelled = "";
	/** The room that the files are of. */
	#filesOf: string | undefined;
	/** Whose words were asked for last, and in which room. */
	#following = JSON.stringify([undefined, []]);
	#followedRoom: string | null = null;
	#fading: ReturnType<typeof setTimeout> | undefined;
	#shown: PlaceMedia | null = null;
	/** How well we hear, as the others were told last, and at which place. */
	#mos: { readonly place: string; readonly mos: number; readonly at: number } | null = null;
	#retry: ReturnType<typeof setTimeout> | undefined;

	constructor(options: ConferenceOptions) {
		this.#options = options;
		this.files = new Files({
			media: () => (this.state.value.place.name === "here" ? this.state.value.place.media : null),
			give: (file, to) => this.act({ act: "say", text: "", file, ...(to === null ? {} : { to }) }),
		});
		this.#kept = new Kept(options.tab, "room", checkResumed);
		options.engine.on("levels", (levels) => this.#heard(levels));
		options.engine.on("text", (text) => this.#said(text));
	}

	/** Who speaks by what is heard here, and by what the relay says; null: it says nothing. */
	get voices(): { readonly heard: readonly string[]; readonly told: readonly string[] | null } {
		return { heard: [...this.#spokeAt.keys()], told: this.#told?.speaking ?? null };
	}

	/** What is to sound, or null outside of a room. */
	get wanted(): WantedRoom | null {
		const { place, muted, held } = this.state.value;
		if (place.name !== "here") {
			this.#wanted = null;
			return null;
		}
		const before = this.#wanted;
		const media = this.#media();
		const same = before !== null && JSON.stringify(before.media) === JSON.stringify(media);
		this.#wanted = { media: same ? before.media : media, muted, held: held || this.#away };
		return this.#wanted;
	}

	/** The room in which we are, not only wait. */
	get here(): string | undefined {
		const { place } = this.state.value;
		return place.name === "here" ? place.media.room : undefined;
	}

	/** A telephone rings that we called into the room. */
	get ringsBack(): boolean {
		return ringsBack(this.state.value) && !this.#away && !this.state.value.held;
	}

	/** Our voice may go into the room. */
	get speaks(): boolean {
		return this.#media().publishes !== false;
	}

	/** How well the room is heard, as an E-model rating; null: nobody knows. */
	hears(rating: number | null): void {
		const { place } = this.state.value;
		if (place.name !== "here" || rating === null) return;
		const at = performance.now();
		const mos = Math.round(mosOf(rating) * 10) / 10;
		const own = `${place.media.room}/${place.media.participant}`;
		const told = this.#mos;
		if (told?.place === own && (Math.abs(mos - told.mos) < MOS_STEP || at - told.at < MOS_MS)) return;
		this.#mos = { place: own, mos, at };
		this.act({ act: "quality", mos });
	}

	/** A call is in front, or no more: the room waits behind it. */
	setAway(away: boolean): void {
		if (away === this.#away) return;
		this.#away = away;
		if (!this.state.value.held) this.#dispatch({ type: "act", act: { act: "hold", held: away } });
	}

	/** The address leads to a room; empty: its name is yet to be typed. */
	open(room: string): void {
		const kept = this.#kept.read();
		// Read once: a duplicate of this tab must not take the place away.
		this.#kept.clear();
		const mine = kept !== null && kept.wish.room === room ? kept : null;
		this.#dispatch({ type: "open", room, key: mine?.key ?? null });
		if (mine !== null && this.state.value.place.name === "door") this.join(mine.wish, mine.muted);
	}

	close(): void {
		this.#dispatch({ type: "close" });
	}

	join(wish: Wish, muted: boolean): void {
		this.#dispatch({ type: "join", wish, muted });
	}

	leave(): void {
		this.#dispatch({ type: "leave" });
	}

	mute(muted: boolean): void {
		this.#dispatch({ type: "mute", muted });
	}

	hold(held: boolean): void {
		this.#dispatch({ type: "hold", held });
	}

	act(act: Act): void {
		this.#dispatch({ type: "act", act });
	}

	/** The chat has been read. */
	read(): void {
		this.#dispatch({ type: "read" });
	}

	/** Camera or screen did not come. */
	pictureFailed(code: VideoErrorCode): void {
		this.#dispatch({ type: "picture_failed", code });
	}

	/** A reaction, or a piece of news, has been seen. */
	fade(id: number): void {
		this.#dispatch({ type: "faded", id });
	}

	event(event: RoomEvent): void {
		this.#dispatch({ type: "event", event });
	}

	registered(resumed: boolean): void {
		this.#dispatch({ type: "registered", resumed });
	}

	abandon(): void {
		this.#dispatch({ type: "abandon" });
	}

	/** The page goes, perhaps only to be loaded again. */
	leavePage(): void {
		const stay = stayOf(this.state.value);
		if (stay === null) return;
		const { wish, key } = stay;
		// A PIN is not left lying about; the key opens the door again.
		this.#kept.write({ wish: { ...wish, pin: "" }, key, muted: this.state.value.muted });
	}

	#dispatch(input: RoomInput): void {
		const { state, effects } = reduce(this.state.value, input);
		const changed = state !== this.state.value;
		this.state.set(state);
		if (changed) {
			this.#options.changed();
			this.#level(state.roster);
			this.#show();
			this.#follow();
			if (stayOf(state)?.id !== this.#filesOf) this.files.clear();
			this.#filesOf = stayOf(state)?.id;
		}
		for (const effect of effects) {
			if (effect.type === "request") void this.#request(effect.request);
			else this.#later();
		}
	}

	async #request(request: RoomRequest): Promise<void> {
		try {
			const done = await this.#options.request(request);
			if (request.type === "join") this.#dispatch({ type: "joined", joined: done as unknown as Joined });
		} catch (error) {
			this.#dispatch({ type: "refused", request, code: error instanceof RequestError ? error.code : "internal" });
		}
	}

	#later(): void {
		clearTimeout(this.#retry);
		this.#retry = setTimeout(() => this.#dispatch({ type: "retry" }), RETRY_MS);
	}

	/** Seats carry whoever is heard; without them each person's own track does. */
	#media(): RoomMedia & { readonly publishes: boolean } {
		const { place, roster } = this.state.value;
		if (place.name !== "here") return { room: "", participant: "", namespace: [], token: "", peers: [], publishes: false };
		const { room, participant, namespace, token, seats } = place.media;
		const peers = seats > 0 ? seatsOf(room, seats) : peersOf(room, participant, roster);
		return { room, participant, namespace, token, peers, seats: seats > 0, publishes: speaks(roleOf(this.state.value)) };
	}

	/** Plays people as loud as a host wants them. */
	#level(roster: Roster | null): void {
		const { place } = this.state.value;
		if (place.name !== "here" || place.media.room !== this.#levelled) this.#gains.clear();
		if (place.name !== "here") return;
		this.#levelled = place.media.room;
		for (const { participant, level_db } of roster?.people ?? []) {
			if ((this.#gains.get(participant) ?? 0) === level_db) continue;
			this.#gains.set(participant, level_db);
			this.#options.engine.setGain(place.media.room, participant, 10 ** (level_db / 20));
		}
	}

	/** Keeps an engine for pictures as long as we are in a room that has them. */
	#show(): void {
		const { place } = this.state.value;
		const media = place.name === "here" && place.media.video ? place.media : null;
		if (media === this.#shown) return;
		const before = this.#shown;
		this.#shown = media;
		const engine = this.video.value;
		if (media !== null && before?.room === media.room && engine !== null) {
			engine.renew(media);
			return;
		}
		const camera = media !== null && before !== null && this.sending.value.camera;
		engine?.close();
		this.sending.set(NOTHING);
		const made = media === null ? null : (this.#options.video?.(media) ?? null);
		this.video.set(made);
		if (made === null) return;
		made.on("sending", (sending) => {
			if (this.video.value !== made) return;
			this.sending.set(sending);
			this.act({ act: "video", ...sending });
		});
		made.on("error", ({ code }) => this.pictureFailed(code));
		// The room was opened anew under us: the camera that was on is on again.
		if (camera) void made.cameraOn().catch(() => {});
	}

	/** Reads who speaks, where there are seats, and along with the telephones that spoke lately. */
	#follow(): void {
		const { place, roster, spoke } = this.state.value;
		const media = place.name === "here" ? place.media : null;
		const telephones = new Set(roster?.people.filter(({ kind, presence }) => kind === "telephone" && presence === "here").map(({ participant }) => participant));
		const tracks = media === null ? [] : tracksOf(media, spoke.filter((participant) => telephones.has(participant)).slice(0, FOLLOWED_MAX).sort());
		const wanted = JSON.stringify([media?.token, tracks]);
		if (wanted === this.#following) return;
		const before = this.#followedRoom;
		if (before !== media?.room) this.#told = null;
		this.#following = wanted;
		this.#followedRoom = tracks.length === 0 ? null : (media?.room ?? null);
		const { engine } = this.#options;
		if (before !== null && before !== media?.room) engine.followTexts(before, "", []);
		if (media === null || (tracks.length === 0 && before !== media.room)) return;
		engine.followTexts(media.room, media.token, tracks);
	}

	#said({ room, participant, name, json }: MediaEvents["text"]): void {
		const { place } = this.state.value;
		if (place.name !== "here" || place.media.room !== room) return;
		if (name === "speakers") {
			this.#told = speakersOf(json, performance.now()) ?? this.#told;
			this.#ring();
			return;
		}
		this.captions.update((lines) => caption(lines, participant, json, Date.now()));
		clearTimeout(this.#fading);
		this.#fading = setTimeout(() => this.captions.update((lines) => fade(lines, Date.now())), CAPTION_MS);
	}

	#heard({ microphone, peers }: Levels): void {
		const { place, muted, held } = this.state.value;
		if (place.name !== "here") {
			if (this.speaking.value.size > 0) this.speaking.set(new Set());
			this.#spokeAt.clear();
			this.#told = null;
			return;
		}
		const now = performance.now();
		const { room, participant: own } = place.media;
		if (microphone > VOICE_DB_MIN && !muted && !held && this.speaks) this.#spokeAt.set(own, now);
		for (const { room: where, participant, level } of peers) {
			if (where === room && level > VOICE_DB_MIN) this.#spokeAt.set(participant, now);
		}
		for (const [participant, at] of this.#spokeAt) if (now - at > VOICE_MS) this.#spokeAt.delete(participant);
		if (this.#told !== null && this.#told.speaking.length > 0 && now - this.#told.at > SPEAKERS_MS) this.#told = null;
		this.#ring();
	}

	/** Shows who speaks: whichever of the two says it first. */
	#ring(): void {
		const { place } = this.state.value;
		if (place.name !== "here") return;
		const own = place.media.participant;
		const now = new Set([...this.#spokeAt.keys(), ...(this.#told?.speaking ?? [])]);
		const before = this.speaking.value;
		if (before.size !== now.size || [...now].some((participant) => !before.has(participant))) {
			this.speaking.set(now);
			this.#dispatch({ type: "heard", participants: [...now].filter((participant) => participant !== own) });
		}
		this.#dispatch({ type: "front", participant: this.#told?.front ?? null });
	}
}

function tracksOf({ room, seats }: PlaceMedia, telephones: readonly string[]): readonly TextTrack[] {
	const speakers: readonly TextTrack[] = seats > 0 ? [{ participant: "", namespace: ["room", room], name: "speakers" }] : [];
	return [...speakers, ...telephones.map((participant) => ({ participant, namespace: ["room", room, participant], name: "text" as const }))];
}

function seatsOf(room: string, seats: number): readonly PeerTrack[] {
	return Array.from({ length: seats }, (_, index) => ({ participant: `s${index + 1}`, namespace: ["room", room, `s${index + 1}`] }));
}

function peersOf(room: string, own: string, roster: Roster | null): readonly PeerTrack[] {
	return (roster?.people ?? [])
		.filter(({ participant, presence, role }) => participant !== own && presence === "here" && speaks(role))
		.slice(0, PEERS_MAX)
		.map(({ participant }) => ({ participant, namespace: ["room", room, participant] }));
}

function checkResumed(value: unknown): Resumed | null {
	if (!isRecord(value) || !isRecord(value["wish"])) return null;
	const { wish, key, muted } = value;
	const { room, name, pin, listen } = wish as Record<string, unknown>;
	if (typeof room !== "string" || typeof name !== "string" || typeof pin !== "string" || typeof listen !== "boolean") return null;
	if (typeof key !== "string" || typeof muted !== "boolean") return null;
	return value as unknown as Resumed;
}
