/**
 * The telephone without its face: ties session, signaling, calls and voice together.
 *
 * The user interface reads the stores and calls the actions; it decides nothing.
 */
import { NetworkCheck } from "../room/check.ts";
import { Conference } from "../room/conference.ts";
import { isRoomEvent } from "../room/messages.ts";
import { stayOf } from "../room/state.ts";
import { reduce } from "./call/reduce.ts";
import { type CallsEvent, type CallsState, type Effect, mediaOf, NO_CALLS, ongoing, targetOf } from "./call/state.ts";
import { wanted } from "./call/wanted.ts";
import { normalize, partyFor } from "./dial.ts";
import { History } from "./history.ts";
import { Monitor } from "./monitor.ts";
import { RelayLink } from "./relay-link.ts";
import type { DeviceErrorCode, Levels, LinkState, MediaEngine, RelayAddress, ReplayState, TrackState } from "./media/api.ts";
import { People } from "./people.ts";
import { NO_RULES, Desk } from "./desk.ts";
import type { CallId, Cause, Event, OwnPresence, Party, Registered, Resume, Rules } from "./schema.ts";
import { findRelay } from "./session/api.ts";
import type { Session } from "./session/session.ts";
import type { Settings, SettingsStore } from "./settings.ts";
import { Line, type LineOptions, type LineState, RequestError, type RequestFailure } from "./signal/line.ts";
import { type Box, Kept, isRecord } from "./storage.ts";
import { Store } from "./store.ts";
import { Voice } from "./voice.ts";
import type { VideoEngine, VideoMedia } from "../video/api.ts";

/** What a resume replays comes right behind the answer to `register`. */
const SETTLE_MS = 2_000;
/** Beyond the server's grace: calls are over there, whatever we think. */
const GRACE_MS_EXTRA = 3_000;
const GRACE_S_DEFAULT = 10;
const BUSY_TONE_MS = 3_000;
/** How long the hint about a muted microphone stays after the last word. */
const SPEECH_MS = 4_000;
/** A server that could not renew the token is asked again. */
const RETRY_MS = 15_000;
/** More than this nobody reads. */
const NOTICES_MAX = 3;

/** What the relay refuses in a room: our voice, or that of others. */
export type VoiceFailure = "unsent" | "unheard";

/** Why what was just said cannot be heard again. */
export type ReplayFailure = Extract<ReplayState, { name: "failed" }>["reason"];

/** Hearing again what was just said in a room; times are those of `Date.now`. */
export type Replay =
	| { readonly name: "idle" }
	| { readonly name: "asking"; readonly room: CallId }
	| { readonly name: "playing"; readonly room: CallId; readonly since: number; readonly totalMs: number };

export type Notice = { readonly id: number } & (
	| { readonly about: "voice"; readonly code: VoiceFailure }
	| { readonly about: "request"; readonly code: RequestFailure }
	| { readonly about: "replay"; readonly code: ReplayFailure }
	| { readonly about: "transfer"; readonly code: Cause }
	| { readonly about: "device"; readonly code: DeviceErrorCode }
);

/** A call that waits for a decision, since there is no microphone. */
export interface WaitingDial {
	readonly to: string;
	readonly peer: Party;
	readonly code: DeviceErrorCode;
}

export interface PhoneOptions {
	readonly session: Session;
	readonly settings: SettingsStore;
	readonly engine: MediaEngine;
	readonly signalUrl: string;
	/** `localStorage` and `sessionStorage`, where there are any. */
	readonly box: Box | null;
	readonly tab: Box | null;
	readonly relay?: (token: string) => Promise<RelayAddress>;
	readonly openSocket?: LineOptions["open"];
	/** Makes what shows and sends pictures in a room; missing: there are none. */
	readonly video?: (media: VideoMedia) => VideoEngine;
}

export class Phone {
	readonly session: Session;
	readonly settings: SettingsStore;
	readonly voice: Voice;
	readonly people = new People();
	readonly desk = new Desk();
	readonly room: Conference;
	readonly check: NetworkCheck;
	readonly calls = new Store<CallsState>(NO_CALLS);
	readonly line = new Store<LineState>({ name: "idle" });
	readonly monitor: Monitor;
	readonly own = new Store<OwnPresence>("available");
	readonly history = new Store<History | null>(null);
	readonly waitingDial = new Store<WaitingDial | null>(null);
	readonly notices = new Store<readonly Notice[]>([]);
	readonly levels = new Store<Levels>({ microphone: -127, peers: [] });
	/** `ROOM/PARTICIPANT` whose sound has been asked for and is not there yet. */
	readonly pending = new Store<readonly string[]>([]);
	readonly replay = new Store<Replay>({ name: "idle" });
	/** Somebody speaks into a muted microphone. */
	readonly mutedSpeech = new Store(false);

	readonly #engine: MediaEngine;
	readonly #line: Line;
	readonly #link: RelayLink;
	readonly #box: Box | null;
	readonly #resume: Kept<Resume>;
	#graceMs = GRACE_S_DEFAULT * 1000;
	#token: string | null = null;
	#dials = 0;
	#noticeId = 0;
	#settleTimer: ReturnType<typeof setTimeout> | undefined;
	#graceTimer: ReturnType<typeof setTimeout> | undefined;
	#busyTimer: ReturnType<typeof setTimeout> | undefined;
	#renewTimer: ReturnType<typeof setTimeout> | undefined;
	#speechTimer: ReturnType<typeof setTimeout> | undefined;

	constructor(options: PhoneOptions) {
		this.session = options.session;
		this.settings = options.settings;
		this.#engine = options.engine;
		this.#box = options.box;
		this.#resume = new Kept(options.tab, "resume", checkResume);
		this.monitor = new Monitor(options.engine, () => ongoing(this.calls.value)[0]?.id ?? this.room.here ?? "");
		this.monitor.quality.subscribe(({ rating }) => {
			if (ongoing(this.calls.value).length === 0) this.room.hears(rating);
		});
		this.#link = new RelayLink({
			engine: options.engine,
			relay: options.relay ?? findRelay,
			token: () => this.#token,
			unauthorized: () => void this.#renew(),
		});
		this.voice = new Voice(options.engine, options.settings, (code) => this.#say({ about: "device", code }));
		this.#line = new Line({
			url: options.signalUrl,
			hurried: () => this.calls.value.calls.length > 0 || stayOf(this.room.state.value) !== null,
			...(options.openSocket === undefined ? {} : { open: options.openSocket }),
			handlers: {
				state: (state) => this.#lineChanged(state),
				registered: (registered) => this.#registered(registered),
				event: (event) => this.#event(event),
				error: (code) => this.#say({ about: "request", code }),
			},
		});
		this.room = new Conference({
			engine: options.engine,
			tab: options.tab,
			request: (request) => this.#line.request(request),
			changed: () => this.#carryOut(),
			...(options.video === undefined ? {} : { video: options.video }),
		});
		this.check = new NetworkCheck({ engine: options.engine, request: (request) => this.#line.request(request) });
		this.#listenToEngine();
		this.session.state.subscribe(() => this.#sessionChanged());
		this.#sessionChanged();
	}

	/** The session with the relay. */
	get link(): Store<LinkState> {
		return this.#link.state;
	}

	/** Asks for the microphone, then calls. Where there is none `waitingDial` says why. */
	async dial(typed: string, party?: Party): Promise<void> {
		const to = normalize(typed);
		if (to === "") return;
		const peer = party ?? partyFor(to, this.people.list.value);
		this.#link.ensure();
		this.waitingDial.set(null);
		this.#dials += 1;
		const turn = this.#dials;
		// The browser may ask its question: that comes before anybody's telephone rings.
		const failure = await this.voice.prepareMicrophone();
		// While it was asked, somebody else was chosen, or the same button pressed again.
		if (turn !== this.#dials) return;
		if (failure !== null) this.waitingDial.set({ to, peer, code: failure });
		else this.#dispatch({ type: "dial", to, peer, at: Date.now() });
	}

	/** Calls although there is no microphone. */
	dialSilently(): void {
		const waiting = this.waitingDial.value;
		this.waitingDial.set(null);
		if (waiting !== null) this.#dispatch({ type: "dial", to: waiting.to, peer: waiting.peer, at: Date.now() });
	}

	forgetDial(): void {
		this.waitingDial.set(null);
	}

	redial(party: Party): void {
		void this.dial(targetOf(party), party);
	}

	answer(key: string): void {
		void this.voice.wake();
		this.#link.ensure();
		this.#dispatch({ type: "answer", key });
	}

	hangup(key: string): void {
		this.#dispatch({ type: "hangup", key, at: Date.now() });
	}

	hold(key: string, held: boolean): void {
		this.#dispatch({ type: "hold", key, held });
	}

	mute(key: string, muted: boolean): void {
		this.#dispatch({ type: "mute", key, muted });
	}

	digit(key: string, digit: string): void {
		this.#dispatch({ type: "digit", key, digit });
	}

	/** Sends a whole string of keys, with pauses. */
	digits(key: string, digits: string): void {
		this.#dispatch({ type: "digits", key, digits });
	}

	/** Gives the call to somebody else. */
	transfer(key: string, typed: string): void {
		const to = normalize(typed);
		if (to !== "") this.#dispatch({ type: "transfer", key, to });
	}

	/** Nobody has answered yet: the call comes back. */
	takeBack(key: string): void {
		this.#dispatch({ type: "take_back", key });
	}

	/** Connects the others of two calls and leaves. */
	connect(key: string, other: string): void {
		this.#dispatch({ type: "connect", key, with: other });
	}

	/** Lets the other side wait until somebody takes the call. */
	park(key: string): void {
		this.#dispatch({ type: "park", key });
	}

	/** Makes two calls one. */
	merge(key: string, other: string): void {
		this.#dispatch({ type: "merge", key, with: other });
	}

	/** Plays the last seconds of the other side once more. */
	hearAgain(key: string, seconds: number): void {
		const call = this.calls.value.calls.find((known) => known.key === key);
		const room = call === undefined || call.held ? undefined : mediaOf(call)?.room;
		if (room !== undefined) this.#engine.replay(room, seconds);
	}

	/** Back to what is said now. */
	backToLive(): void {
		if (this.replay.value.name !== "idle") this.#engine.stopReplay();
	}

	dismissEnded(): void {
		this.#dispatch({ type: "dismiss" });
	}

	async setPresence(state: OwnPresence): Promise<void> {
		const before = this.own.value;
		this.own.set(state);
		try {
			await this.#line.request({ type: "presence", state });
		} catch (error) {
			this.own.set(before);
			this.#say({ about: "request", code: failureOf(error) });
		}
	}

	/** Says what becomes of calls to this person. */
	async setRules(change: Partial<Rules>): Promise<void> {
		const before = this.desk.rules.value;
		this.#ruled({ ...before, ...change });
		try {
			await this.#line.request({ type: "rules", ...this.desk.rules.value });
		} catch (error) {
			this.#ruled(before);
			this.#say({ about: "request", code: failureOf(error) });
		}
	}

	dismissNotice(id: number): void {
		this.notices.update((notices) => notices.filter((notice) => notice.id !== id));
	}

	/** The network is back, or somebody is impatient. */
	retryNow(): void {
		this.#line.retryNow();
		this.#link.ensure();
	}

	/** Another page took the session over, and this one wants it back. */
	takeOver(): void {
		if (this.#token !== null && this.#line.state.name === "stopped") this.#line.start(this.#token, null);
	}

	async changeSettings(change: Partial<Settings>): Promise<void> {
		this.settings.change(change);
		if (change.microphone !== undefined) await this.voice.chooseMicrophone(change.microphone);
		const processing = ["echoCancellation", "noiseSuppression", "autoGainControl"] as const;
		if (processing.some((name) => change[name] !== undefined)) await this.voice.reopenMicrophone();
		if (change.speaker !== undefined) await this.voice.chooseSpeaker(change.speaker);
	}

	/** The page goes, perhaps only to be loaded again: the next one may go on with the calls. */
	leavePage(): void {
		const { resume } = this.#line;
		if (resume !== null) this.#resume.write(resume);
		this.room.leavePage();
	}

	storageChanged(key: string | null): void {
		this.session.storageChanged(key);
		this.settings.storageChanged(key);
		this.history.value?.storageChanged(key);
	}

	#listenToEngine(): void {
		this.#engine.on("levels", (levels) => this.levels.set(levels));
		this.#engine.on("heard", ({ room }) => this.#dispatch({ type: "heard", room }));
		this.#engine.on("mutedSpeech", () => this.#spokeMuted());
		this.#engine.on("error", ({ code }) => this.#say({ about: "device", code }));
		this.#engine.on("replay", ({ room, state }) => this.#replayed(room, state));
		this.#engine.on("publishing", ({ state }) => {
			if (state === "refused") this.#say({ about: "voice", code: "unsent" });
		});
		this.#engine.on("peer", ({ room, participant, state }) => {
			if (state === "refused") this.#say({ about: "voice", code: "unheard" });
			this.#trackChanged(room, participant, state);
		});
	}

	#replayed(room: CallId, state: ReplayState): void {
		switch (state.name) {
			case "asking":
				this.replay.set({ name: "asking", room });
				return;
			case "playing":
				this.replay.set({ name: "playing", room, since: Date.now(), totalMs: state.totalMs });
				return;
			case "failed":
				this.#say({ about: "replay", code: state.reason });
				this.replay.set({ name: "idle" });
				return;
			case "idle":
				this.replay.set({ name: "idle" });
		}
	}

	#spokeMuted(): void {
		this.mutedSpeech.set(true);
		clearTimeout(this.#speechTimer);
		this.#speechTimer = setTimeout(() => this.mutedSpeech.set(false), SPEECH_MS);
	}

	#sessionChanged(): void {
		const { value } = this.session.state;
		if (value.name === "in") this.#signedIn(value.identity.token, value.identity.user.id);
		else if (value.name === "out" && this.#token !== null) this.#signedOut();
	}

	#signedIn(token: string, user: string): void {
		if (token === this.#token) return;
		const first = this.#token === null;
		this.#token = token;
		clearTimeout(this.#renewTimer);
		if (first) {
			this.history.set(new History(this.#box, user));
			const resume = this.#resume.read();
			// Read once: a duplicate of this tab must not take the session away.
			this.#resume.clear();
			this.#line.start(token, resume);
			this.#link.ensure();
		} else {
			if (this.#line.state.name === "stopped") this.#line.start(token);
			else this.#line.useToken(token);
			this.#link.ensure();
		}
	}

	#signedOut(): void {
		this.#token = null;
		this.#line.stop();
		this.#dispatch({ type: "abandon", at: Date.now() });
		this.#dispatch({ type: "dismiss" });
		this.room.abandon();
		this.#link.stop();
		this.people.clear();
		this.desk.clear();
		this.history.set(null);
		this.own.set("available");
		clearTimeout(this.#renewTimer);
	}

	#lineChanged(state: LineState): void {
		this.line.set(state);
		if (state.name === "ready") {
			clearTimeout(this.#graceTimer);
			this.#graceTimer = undefined;
			this.#link.ensure();
			// The server is there again, and most likely the relay with it.
			if (this.#engine.state.name === "reconnecting") this.#engine.hurry();
		} else if (state.name === "waiting") {
			this.#graceTimer ??= setTimeout(() => this.#dispatch({ type: "abandon", at: Date.now() }), this.#graceMs);
		} else if (state.name === "stopped") {
			if (state.reason === "unauthorized" || state.reason === "expired") void this.#renew();
			else this.#dispatch({ type: "abandon", at: Date.now() });
		}
	}

	async #renew(): Promise<void> {
		clearTimeout(this.#renewTimer);
		if (await this.session.renew()) return;
		if (this.session.state.value.name === "in") this.#renewTimer = setTimeout(() => void this.#renew(), RETRY_MS);
	}

	#registered(registered: Registered): void {
		this.#graceMs = registered.limits.grace_seconds * 1000 + GRACE_MS_EXTRA;
		this.people.replace(registered.presence, registered.user);
		this.desk.replace(registered);
		const before = this.own.value;
		this.#ruled(registered.rules);
		const alive = registered.calls.map((view) => view.call);
		const doubtful = this.calls.value.calls.flatMap(({ id }) => (id === null || alive.includes(id) ? [] : [id]));
		const { calls, resumed } = registered;
		this.#dispatch({ type: "snapshot", calls, resumed, at: Date.now() });
		clearTimeout(this.#settleTimer);
		if (resumed && doubtful.length > 0) this.#settleTimer = setTimeout(() => this.#settle(doubtful), SETTLE_MS);
		this.room.registered(resumed);
		if (!resumed && before === "away" && !registered.rules.undisturbed) void this.setPresence("away");
	}

	#settle(doubtful: readonly CallId[]): void {
		const alive = this.calls.value.calls.flatMap(({ id }) => (id === null || doubtful.includes(id) ? [] : [id]));
		this.#dispatch({ type: "settled", alive, at: Date.now() });
	}

	#event(event: Event): void {
		if (this.check.event(event)) return;
		if (isRoomEvent(event)) {
			this.room.event(event);
			return;
		}
		switch (event.type) {
			case "presence":
				return this.people.change(event);
			case "rules":
				return this.#ruled(event);
			case "messages":
			case "parked":
			case "unparked":
				return this.desk.change(event);
			default:
				this.#dispatch({ type: "signal", event, at: Date.now() });
		}
	}

	/** Do not disturb is a rule, and a state of the person's. */
	#ruled(rules: Rules): void {
		const { undisturbed, always, busy, no_answer, after_s } = rules;
		const given = Object.entries({ always, busy, no_answer }).filter(([, to]) => to !== undefined && to !== "");
		this.desk.rules.set({ ...NO_RULES, undisturbed, after_s, ...Object.fromEntries(given) });
		if (undisturbed) this.own.set("busy");
		else if (this.own.value === "busy") this.own.set("available");
	}

	#dispatch(event: CallsEvent): void {
		const { state, effects } = reduce(this.calls.value, event);
		const changed = state !== this.calls.value;
		this.calls.set(state);
		if (changed) this.#carryOut();
		for (const effect of effects) this.#perform(effect);
	}

	#carryOut(): void {
		const { value } = this.calls;
		const wants = wanted(value);
		this.room.setAway(wants.microphone);
		const room = this.room.wanted;
		const rooms = room === null ? wants.rooms : [...wants.rooms, room];
		const microphone = wants.microphone || (room !== null && this.room.speaks);
		const tone = wants.tone ?? (this.room.ringsBack ? "ringback" : null);
		this.voice.apply({ ...wants, tone, rooms, microphone, awake: wants.awake || room !== null });
		this.monitor.watch(rooms.length > 0);
		if (value.ended?.tone === true) {
			this.#busyTimer ??= setTimeout(() => this.#dispatch({ type: "quiet" }), BUSY_TONE_MS);
		} else {
			clearTimeout(this.#busyTimer);
			this.#busyTimer = undefined;
		}
	}

	#perform(effect: Effect): void {
		switch (effect.type) {
			case "request":
				void this.#request(effect);
				return;
			case "digit":
				this.#engine.playDigit(effect.digit);
				return;
			case "say":
				this.#say({ about: "request", code: effect.code });
				return;
			case "returned":
				this.#say({ about: "transfer", code: effect.cause });
				return;
			case "record":
				this.history.value?.add(effect.record);
		}
	}

	async #request({ key, request }: Extract<Effect, { type: "request" }>): Promise<void> {
		try {
			const done = await this.#line.request(request);
			if (request.type === "call" && done.call !== undefined) this.#dispatch({ type: "called", key, call: done.call });
		} catch (error) {
			this.#dispatch({ type: "refused", key, request, code: failureOf(error), at: Date.now() });
		}
	}

	#trackChanged(room: CallId, participant: string, state: TrackState): void {
		const name = `${room}/${participant}`;
		const others = this.pending.value.filter((other) => other !== name);
		const known = this.calls.value.calls.some((call) => call.id === room);
		this.pending.set(state === "pending" && known ? [...others, name] : others);
	}

	#say(what: About): void {
		this.#noticeId += 1;
		const notice = { id: this.#noticeId, ...what } as Notice;
		const others = this.notices.value.filter((other) => other.about !== what.about || other.code !== what.code);
		this.notices.set([...others, notice].slice(-NOTICES_MAX));
	}
}

type About =
	| { about: "voice"; code: VoiceFailure }
	| { about: "request"; code: RequestFailure }
	| { about: "replay"; code: ReplayFailure }
	| { about: "transfer"; code: Cause }
	| { about: "device"; code: DeviceErrorCode };

function failureOf(error: unknown): RequestFailure {
	return error instanceof RequestError ? error.code : "internal";
}

function checkResume(value: unknown): Resume | null {
	if (!isRecord(value)) return null;
	const { session, key, seq } = value;
	if (typeof session !== "string" || typeof key !== "string" || typeof seq !== "number") return null;
	return { session, key, seq };
}
