/**
 * Decides by which session, and by which way, the phone reaches the relay: a state machine without I/O.
 *
 * Feed it what happens with {@link Mover.handle} and the time with {@link Mover.timeout} at
 * {@link Mover.deadline}; carry out what either returns, in order. Times are ms of one clock.
 *
 * A session that stands is given up only when another one has taken its tracks over, unless it
 * is gone by itself: make before break.
 */

import type { LinkFailure, LinkState, RelayAddress, Way } from "../api.ts";

/** Names one session, from its first try on. */
export type SessionId = number;

export type Input =
	| { readonly type: "connect"; readonly address: RelayAddress }
	| { readonly type: "disconnect" }
	/** Answers `ask`; null: not to be had, use the last one. */
	| { readonly type: "address"; readonly address: RelayAddress | null }
	/** The relay's SETUP came. */
	| { readonly type: "ready"; readonly id: SessionId; readonly voice: "datagram" | "stream" }
	/** A session is over, or did not come to stand. */
	| { readonly type: "ended"; readonly id: SessionId; readonly reason: LinkFailure; readonly detail: string }
	/** The relay wants us to leave; `uri`: where to, empty: the same. */
	| { readonly type: "goaway"; readonly id: SessionId; readonly uri: string }
	/** Nothing comes any more by a session that should bring something, or does again. */
	| { readonly type: "silent" | "heard"; readonly id: SessionId }
	/** Every track that the older session has is alive on this one. */
	| { readonly type: "settled"; readonly id: SessionId }
	/** The network is back. */
	| { readonly type: "online" };

export type Output =
	| { readonly type: "open"; readonly id: SessionId; readonly way: Way; readonly address: RelayAddress }
	/** Publish and subscribe there, whatever other session does the same. */
	| { readonly type: "use"; readonly id: SessionId }
	/** Forget it; close it when it still stands. */
	| { readonly type: "close"; readonly id: SessionId }
	/** Find out where the relay is now. */
	| { readonly type: "ask" }
	| { readonly type: "state"; readonly state: LinkState };

/** Which ways this browser has. */
export interface Ways {
	readonly webtransport: boolean;
	readonly websocket: boolean;
}

/** How long WebTransport may take before WebSocket is tried beside it. */
export const HEAD_START_MS = 1_500;
/** A try that has brought no SETUP by now has failed; packets that vanish are told by silence alone. */
export const TRY_MS = 8_000;
/** Finding the address again is a request over HTTP; when it takes longer, the last one will do. */
export const ASK_MS = 5_000;
/** The same while a session stands that may not stand much longer. */
export const ASK_BESIDE_MS = 1_000;
/** Tracks that are not alive on the next session by now need not be waited for: the older one is doomed. */
export const JOIN_MS = 5_000;
/** The older session stays this long: others may still be moving, and late objects are on their way. */
export const LINGER_MS = 1_000;
/** From WebSocket back to WebTransport: waits between tries, doubled up to the last. */
export const PROBE_FIRST_MS = 5_000;
export const PROBE_MAX_MS = 60_000;
/** WebTransport that worked this long is trusted again: the next wait is the first one. */
const TRUST_MS = 60_000;
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 5_000;
/** Tries before the first session stands, and after one was lost (some 12 minutes). */
const TRIES_FIRST_MAX = 4;
const TRIES_AGAIN_MAX = 150;
/** A session that stood this long was a good one: count from the start again. */
const STABLE_MS = 10_000;

/** A session that stands. */
interface Standing {
	readonly id: SessionId;
	readonly way: Way;
	readonly voice: "datagram" | "stream";
	readonly since: number;
}

/** Sessions that are being opened at the same time; the first one that stands wins. */
interface Race {
	readonly address: RelayAddress;
	readonly runners: readonly { readonly id: SessionId; readonly way: Way; readonly until: number }[];
	/** When WebSocket starts; null: it has, or never will. */
	readonly websocketAt: number | null;
	/** The most telling of the failures so far. */
	readonly failure: Failure | null;
}

interface Failure {
	readonly reason: LinkFailure;
	readonly detail: string;
}

/** Why another session is wanted beside the one that stands. */
type Why =
	/** It goes by WebSocket, and WebTransport may work by now. */
	| { readonly name: "better" }
	/** The relay said so. */
	| { readonly name: "goaway"; readonly uri: string; readonly attempt: number }
	/** Nothing comes by it. */
	| { readonly name: "silent"; readonly attempt: number };

/** What goes on beside the session that stands. */
type Side =
	| { readonly name: "none" }
	| { readonly name: "later"; readonly why: Why; readonly at: number }
	| { readonly name: "asking"; readonly why: Why; readonly until: number }
	| { readonly name: "opening"; readonly why: Why; readonly race: Race }
	| { readonly name: "joining"; readonly why: Why; readonly next: Standing; readonly until: number }
	| { readonly name: "lingering"; readonly old: Standing; readonly until: number };

type State =
	| { readonly name: "idle" }
	| { readonly name: "opening"; readonly race: Race }
	| { readonly name: "waiting"; readonly until: number }
	| { readonly name: "asking"; readonly until: number }
	| { readonly name: "up"; readonly now: Standing; readonly side: Side }
	| { readonly name: "failed" };

const NOTHING: Side = { name: "none" };

export class Mover {
	readonly #ways: Ways;
	readonly #random: () => number;
	#state: State = { name: "idle" };
	#address: RelayAddress | null = null;
	#outputs: Output[] = [];
	#lastId = 0;
	/** Failures in a row. */
	#tries = 0;
	/** Whether any session stood since `connect`. */
	#stood = false;
	#probeMs = PROBE_FIRST_MS;

	/** `random`: from 0 to below 1, so that a whole room does not come back at once. */
	constructor(ways: Ways, random: () => number) {
		this.#ways = ways;
		this.#random = random;
	}

	/** When {@link timeout} must be called; Infinity: never. */
	get deadline(): number {
		const state = this.#state;
		switch (state.name) {
			case "idle":
			case "failed":
				return Number.POSITIVE_INFINITY;
			case "waiting":
			case "asking":
				return state.until;
			case "opening":
				return raceDeadline(state.race);
			case "up":
				return sideDeadline(state.side);
		}
	}

	handle(input: Input, now: number): readonly Output[] {
		this.#take(input, now);
		return this.#drain();
	}

	timeout(now: number): readonly Output[] {
		if (now >= this.deadline) this.#due(now);
		return this.#drain();
	}

	#drain(): readonly Output[] {
		const outputs = this.#outputs;
		this.#outputs = [];
		return outputs;
	}

	#take(input: Input, now: number): void {
		switch (input.type) {
			case "connect":
				this.#closeAll();
				this.#address = input.address;
				this.#tries = 0;
				this.#stood = false;
				this.#probeMs = PROBE_FIRST_MS;
				this.#tell({ name: "connecting" });
				this.#begin(now);
				return;
			case "disconnect":
				this.#closeAll();
				this.#address = null;
				this.#state = { name: "idle" };
				this.#tell({ name: "idle" });
				return;
			case "address":
				this.#answered(input.address, now);
				return;
			case "ready":
				this.#ready(input.id, input.voice, now);
				return;
			case "ended":
				this.#ended(input.id, { reason: input.reason, detail: input.detail }, now);
				return;
			case "goaway":
				this.#goaway(input.id, input.uri, now);
				return;
			case "silent":
				this.#silent(input.id, now);
				return;
			case "heard":
				this.#heard(input.id, now);
				return;
			case "settled":
				this.#settled(input.id, now);
				return;
			case "online":
				this.#online(now);
				return;
		}
	}

	#due(now: number): void {
		const state = this.#state;
		switch (state.name) {
			case "idle":
			case "failed":
				return;
			case "waiting":
				this.#ask();
				this.#state = { name: "asking", until: now + ASK_MS };
				return;
			case "asking":
				this.#begin(now);
				return;
			case "opening":
				this.#raceOn(state.race, now);
				return;
			case "up":
				this.#sideDue(state.now, state.side, now);
		}
	}

	#sideDue(current: Standing, side: Side, now: number): void {
		switch (side.name) {
			case "none":
				return;
			case "later":
				this.#ask();
				this.#side({ name: "asking", why: side.why, until: now + ASK_BESIDE_MS });
				return;
			case "asking":
				this.#move(current, side.why, now);
				return;
			case "opening":
				this.#raceOn(side.race, now);
				return;
			case "joining":
				if (side.why.name === "better") this.#stay(side.next, now);
				else this.#swap(current, side.next, now);
				return;
			case "lingering":
				this.#put({ type: "close", id: side.old.id });
				this.#side(this.#rest(current, now));
				return;
		}
	}

	#answered(address: RelayAddress | null, now: number): void {
		const state = this.#state;
		if (state.name === "asking") {
			this.#address = address ?? this.#address;
			this.#begin(now);
		} else if (state.name === "up" && state.side.name === "asking") {
			this.#address = address ?? this.#address;
			this.#move(state.now, state.side.why, now);
		}
	}

	/** Opens the first session, or the first one after a loss. */
	#begin(now: number): void {
		const address = this.#address;
		if (address === null) return;
		this.#state = { name: "opening", race: this.#start(address, this.#ways, now, HEAD_START_MS) };
		this.#checkRace(now);
	}

	/** Opens a session beside the one that stands. */
	#move(current: Standing, why: Why, now: number): void {
		const known = this.#address;
		if (known === null) return;
		const address = why.name === "goaway" ? elsewhere(known, why.uri) : known;
		const ways = why.name === "better" ? { ...this.#ways, websocket: false } : this.#ways;
		// Where WebTransport fell silent, or was not to be had, it gets no head start.
		const patient = why.name === "goaway" && current.way === "webtransport";
		const race = this.#start(address, ways, now, patient ? HEAD_START_MS : 0);
		this.#side({ name: "opening", why, race });
		this.#checkRace(now);
	}

	/** Starts the runners of a race. */
	#start(address: RelayAddress, ways: Ways, now: number, headStartMs: number): Race {
		const race: Race = { address, runners: [], websocketAt: null, failure: null };
		const websocket = ways.websocket && address.websocket !== undefined;
		if (!ways.webtransport) return websocket ? this.#run(race, "websocket", now) : race;
		const first = this.#run(race, "webtransport", now);
		if (!websocket) return first;
		return headStartMs > 0 ? { ...first, websocketAt: now + headStartMs } : this.#run(first, "websocket", now);
	}

	#run(race: Race, way: Way, now: number): Race {
		const id = ++this.#lastId;
		this.#put({ type: "open", id, way, address: race.address });
		return { ...race, runners: [...race.runners, { id, way, until: now + TRY_MS }] };
	}

	/** Time passed in a race. */
	#raceOn(race: Race, now: number): void {
		let on = race;
		for (const { id, until } of race.runners) {
			if (now < until) continue;
			this.#put({ type: "close", id });
			on = without(on, id, { reason: "unreachable", detail: "no answer in time" });
		}
		if (on.websocketAt !== null && now >= on.websocketAt) {
			on = this.#run({ ...on, websocketAt: null }, "websocket", now);
		}
		this.#setRace(on);
		this.#checkRace(now);
	}

	/** A race whose last runner fell begins its next leg, or is lost. */
	#checkRace(now: number): void {
		const race = this.#race();
		if (race === null || race.runners.length > 0) return;
		if (race.websocketAt !== null) {
			this.#setRace(this.#run({ ...race, websocketAt: null }, "websocket", now));
			return;
		}
		this.#lostRace(race.failure ?? { reason: "unsupported", detail: "" }, now);
	}

	#lostRace(failure: Failure, now: number): void {
		const state = this.#state;
		if (state.name === "opening") {
			this.#wait(failure, now);
			return;
		}
		if (state.name !== "up" || state.side.name !== "opening") return;
		const { why } = state.side;
		if (why.name === "better") {
			this.#probeMs = Math.min(PROBE_MAX_MS, this.#probeMs * 2);
			this.#side(this.#rest(state.now, now));
			return;
		}
		const attempt = why.attempt + 1;
		if (why.name === "silent") this.#tell(reconnecting("lost", attempt, 0));
		this.#side({ name: "later", why: { ...why, attempt }, at: now + this.#backoff(attempt) });
	}

	#ready(id: SessionId, voice: "datagram" | "stream", now: number): void {
		const race = this.#race();
		const winner = race?.runners.find((runner) => runner.id === id);
		if (race === null || winner === undefined) {
			this.#put({ type: "close", id });
			return;
		}
		for (const loser of race.runners) if (loser.id !== id) this.#put({ type: "close", id: loser.id });
		const next: Standing = { id, way: winner.way, voice, since: now };
		const state = this.#state;
		this.#address = { ...race.address };
		if (state.name === "up" && state.side.name === "opening") {
			this.#side({ name: "joining", why: state.side.why, next, until: now + JOIN_MS });
			this.#put({ type: "use", id });
			return;
		}
		this.#stood = true;
		this.#state = { name: "up", now: next, side: this.#rest(next, now) };
		this.#tellUp(next);
		this.#put({ type: "use", id });
	}

	#settled(id: SessionId, now: number): void {
		const state = this.#state;
		if (state.name !== "up" || state.side.name !== "joining" || state.side.next.id !== id) return;
		this.#swap(state.now, state.side.next, now);
	}

	/** The next session has taken over; the older one stays for a moment. */
	#swap(old: Standing, next: Standing, now: number): void {
		this.#fell(old, now);
		this.#state = { name: "up", now: next, side: { name: "lingering", old, until: now + LINGER_MS } };
		this.#tellUp(next);
	}

	/** The next session does not do what the one that stands does. */
	#stay(next: Standing, now: number): void {
		this.#put({ type: "close", id: next.id });
		this.#probeMs = Math.min(PROBE_MAX_MS, this.#probeMs * 2);
		const state = this.#state;
		if (state.name === "up") this.#side(this.#rest(state.now, now));
	}

	#ended(id: SessionId, failure: Failure, now: number): void {
		const race = this.#race();
		if (race?.runners.some((runner) => runner.id === id)) {
			this.#put({ type: "close", id });
			this.#setRace(without(race, id, failure));
			this.#checkRace(now);
			return;
		}
		const state = this.#state;
		if (state.name !== "up") return;
		const { now: current, side } = state;
		if (side.name === "lingering" && side.old.id === id) {
			this.#put({ type: "close", id });
			this.#side(this.#rest(current, now));
		} else if (side.name === "joining" && side.next.id === id) {
			this.#put({ type: "close", id });
			this.#again(current, side.why, now);
		} else if (current.id === id) {
			this.#put({ type: "close", id });
			this.#lost(current, side, failure, now);
		}
	}

	/** The session that stood is gone. */
	#lost(gone: Standing, side: Side, failure: Failure, now: number): void {
		if (now - gone.since > STABLE_MS) this.#tries = 0;
		this.#fell(gone, now);
		switch (side.name) {
			case "joining":
				this.#state = { name: "up", now: side.next, side: this.#rest(side.next, now) };
				this.#tellUp(side.next);
				return;
			case "lingering":
				this.#state = { name: "up", now: side.old, side: this.#rest(side.old, now) };
				this.#tellUp(side.old);
				return;
			case "opening":
				this.#tries++;
				this.#state = { name: "opening", race: side.race };
				this.#tell(reconnecting(failure.reason, this.#tries, 0));
				return;
			case "asking":
				this.#tries++;
				this.#state = { name: "asking", until: side.until };
				this.#tell(reconnecting(failure.reason, this.#tries, 0));
				return;
			case "later":
			case "none": {
				const leaving = side.name === "later" && side.why.name === "goaway";
				this.#wait(leaving ? { ...failure, reason: "going_away" } : failure, now);
			}
		}
	}

	/** Tries again what was begun beside the session that stands. */
	#again(current: Standing, why: Why, now: number): void {
		if (why.name === "better") {
			this.#probeMs = Math.min(PROBE_MAX_MS, this.#probeMs * 2);
			this.#side(this.#rest(current, now));
			return;
		}
		const attempt = why.attempt + 1;
		this.#side({ name: "later", why: { ...why, attempt }, at: now + this.#backoff(attempt) });
	}

	#goaway(id: SessionId, uri: string, now: number): void {
		const state = this.#state;
		if (state.name !== "up") return;
		const { now: current, side } = state;
		if (current.id === id && side.name !== "joining") {
			this.#dropSide(side);
			this.#ask();
			this.#side({ name: "asking", why: { name: "goaway", uri, attempt: 0 }, until: now + ASK_BESIDE_MS });
		} else if (side.name === "joining" && side.next.id === id) {
			// Out of the rain into the eaves: the older one is no worse.
			this.#put({ type: "close", id });
			this.#again(current, side.why, now);
		}
	}

	#silent(id: SessionId, now: number): void {
		const state = this.#state;
		if (state.name !== "up" || state.now.id !== id) return;
		const { side } = state;
		switch (side.name) {
			case "joining":
				// What comes next is there already.
				this.#swap(state.now, side.next, now);
				return;
			case "opening":
			case "asking":
			case "later":
				if (side.why.name !== "better") return;
				this.#dropSide(side);
				break;
			case "lingering":
				this.#put({ type: "close", id: side.old.id });
				break;
			case "none":
				break;
		}
		this.#tell(reconnecting("lost", 1, 0));
		this.#move(state.now, { name: "silent", attempt: 0 }, now);
	}

	#heard(id: SessionId, now: number): void {
		const state = this.#state;
		if (state.name !== "up" || state.now.id !== id) return;
		const { side } = state;
		if (side.name === "none" || side.name === "joining" || side.name === "lingering") return;
		if (side.why.name !== "silent") return;
		this.#dropSide(side);
		this.#side(this.#rest(state.now, now));
		this.#tellUp(state.now);
	}

	#online(now: number): void {
		const state = this.#state;
		if (state.name === "waiting") {
			this.#state = { name: "waiting", until: now };
		} else if (state.name === "up" && state.side.name === "later") {
			this.#probeMs = PROBE_FIRST_MS;
			this.#side({ ...state.side, at: now });
		} else {
			return;
		}
		this.#due(now);
	}

	/** What to do beside a session that stands when nothing is wrong. */
	#rest(current: Standing, now: number): Side {
		if (current.way === "webtransport" || !this.#ways.webtransport) return NOTHING;
		return { name: "later", why: { name: "better" }, at: now + this.#probeMs };
	}

	/** A session is left: remembers whether its way was one to trust. */
	#fell(old: Standing, now: number): void {
		if (old.way !== "webtransport") return;
		const trusted = now - old.since >= TRUST_MS;
		this.#probeMs = trusted ? PROBE_FIRST_MS : Math.min(PROBE_MAX_MS, this.#probeMs * 2);
	}

	#dropSide(side: Side): void {
		if (side.name === "opening") for (const { id } of side.race.runners) this.#put({ type: "close", id });
		if (side.name === "joining") this.#put({ type: "close", id: side.next.id });
		if (side.name === "lingering") this.#put({ type: "close", id: side.old.id });
	}

	#closeAll(): void {
		const state = this.#state;
		if (state.name === "opening") for (const { id } of state.race.runners) this.#put({ type: "close", id });
		if (state.name === "up") {
			this.#dropSide(state.side);
			this.#put({ type: "close", id: state.now.id });
		}
	}

	#wait({ reason, detail }: Failure, now: number): void {
		if (this.#tries >= triesMax(reason, this.#stood)) {
			this.#state = { name: "failed" };
			this.#tell({ name: "failed", reason, detail });
			return;
		}
		this.#tries++;
		const retryInMs = this.#backoff(this.#tries);
		this.#state = { name: "waiting", until: now + retryInMs };
		this.#tell(reconnecting(reason, this.#tries, retryInMs));
	}

	/** The n-th wait, ms: doubles, with up to a half taken off. */
	#backoff(attempt: number): number {
		const full = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (attempt - 1));
		return Math.round(full * (0.5 + this.#random() / 2));
	}

	#race(): Race | null {
		const state = this.#state;
		if (state.name === "opening") return state.race;
		return state.name === "up" && state.side.name === "opening" ? state.side.race : null;
	}

	#setRace(race: Race): void {
		const state = this.#state;
		if (state.name === "opening") this.#state = { name: "opening", race };
		else if (state.name === "up" && state.side.name === "opening") this.#side({ ...state.side, race });
	}

	#side(side: Side): void {
		if (this.#state.name === "up") this.#state = { ...this.#state, side };
	}

	#ask(): void {
		this.#put({ type: "ask" });
	}

	#tell(state: LinkState): void {
		this.#put({ type: "state", state });
	}

	#tellUp({ way, voice }: Standing): void {
		this.#tell({ name: "connected", way, voice });
	}

	#put(output: Output): void {
		this.#outputs.push(output);
	}
}

/**
 * Where a GOAWAY's URI leads. The token goes there too, so a relay may name another port, path or query
 * of a host that we were told of by the page's own server, and nothing else.
 */
export function elsewhere(address: RelayAddress, uri: string): RelayAddress {
	if (uri === "" || !URL.canParse(uri)) return address;
	const wanted = new URL(uri);
	const { hostname } = new URL(address.url);
	const others = (address.others ?? []).filter((other) => URL.canParse(other)).map((other) => new URL(other));
	const named = wanted.hostname === hostname || others.some((other) => other.host === wanted.host);
	if (wanted.protocol !== "https:" || wanted.username !== "" || wanted.password !== "" || !named) return address;
	return { ...address, url: wanted.href };
}

function reconnecting(reason: LinkFailure, attempt: number, retryInMs: number): LinkState {
	return { name: "reconnecting", reason, attempt, retryInMs };
}

function raceDeadline({ runners, websocketAt }: Race): number {
	return Math.min(websocketAt ?? Number.POSITIVE_INFINITY, ...runners.map(({ until }) => until));
}

function sideDeadline(side: Side): number {
	switch (side.name) {
		case "none":
			return Number.POSITIVE_INFINITY;
		case "later":
			return side.at;
		case "opening":
			return raceDeadline(side.race);
		case "asking":
		case "joining":
		case "lingering":
			return side.until;
	}
}

/** A runner fell. What says more than "unreachable" is kept. */
function without(race: Race, id: SessionId, failure: Failure): Race {
	const telling = race.failure === null || race.failure.reason === "unreachable";
	return {
		...race,
		runners: race.runners.filter((runner) => runner.id !== id),
		failure: telling ? failure : race.failure,
	};
}

/** How often to try again in a row; `stood`: a session stood before. */
function triesMax(reason: LinkFailure, stood: boolean): number {
	switch (reason) {
		case "unsupported":
		case "version":
		case "wasm":
			return 0; // It would change nothing.
		case "unauthorized":
			return 1; // A fresh token may help, once.
		case "protocol":
			return TRIES_FIRST_MAX;
		case "unreachable":
		case "lost":
		case "going_away":
			return stood ? TRIES_AGAIN_MAX : TRIES_FIRST_MAX;
	}
}
