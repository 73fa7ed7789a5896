/**
 * The phone's calls as a state machine: an event in, the next state and what to do out.
 *
 * The server decides what a call is; this side shows at once what its person did and takes it back
 * when the server refuses. Each call is recorded exactly once.
 */
import type { CallId, CallView, Cause, Media, Party } from "../schema.ts";
import {
	type Call,
	type CallEvent,
	CLOSED_MAX,
	type CallRecord,
	type CallRequest,
	type CallsEvent,
	type CallsState,
	DIGITS_AT_ONCE,
	DIGITS_MAX,
	type Effect,
	type Outcome,
	type Phase,
	type Result,
	canJoin,
	digitsOf,
	mediaOf,
	ongoing,
} from "./state.ts";

export interface Step {
	readonly state: CallsState;
	readonly effects: readonly Effect[];
}

export function reduce(state: CallsState, event: CallsEvent): Step {
	const work = new Work(state);
	apply(work, event);
	return { state: work.state, effects: work.effects };
}

function apply(work: Work, event: CallsEvent): void {
	switch (event.type) {
		case "dial":
			return dial(work, event.to, event.peer, event.at);
		case "answer":
			return answer(work, event.key);
		case "hangup":
			return hangup(work, event.key, event.at);
		case "hold":
			return hold(work, event.key, event.held);
		case "mute":
			return mute(work, event.key, event.muted);
		case "digit":
			return digit(work, event.key, event.digit);
		case "digits":
			return digitString(work, event.key, event.digits);
		case "transfer":
			return transfer(work, event.key, event.to);
		case "take_back":
			return takeBack(work, event.key);
		case "park":
			return park(work, event.key);
		case "connect":
		case "merge":
			return putTogether(work, event.type, event.key, event.with);
		case "dismiss":
			work.state = { ...work.state, ended: null };
			return;
		case "quiet":
			if (work.state.ended !== null) work.state = { ...work.state, ended: { ...work.state.ended, tone: false } };
			return;
		case "signal":
			return signal(work, event.event, event.at);
		case "snapshot":
			return snapshot(work, event.calls, event.resumed, event.at);
		case "settled":
			return settled(work, event.alive, event.at);
		case "abandon":
			return settled(work, [], event.at);
		case "called":
			return called(work, event.key, event.call);
		case "refused":
			return refused(work, event.key, event.request, event.code, event.at);
		case "heard":
			work.change(event.room, (call) => ({ ...call, heard: true }));
	}
}

/** A state under change. */
class Work {
	readonly effects: Effect[] = [];

	constructor(public state: CallsState) {}

	/** By key or id. */
	find(name: string): Call | undefined {
		return this.state.calls.find((call) => call.key === name || call.id === name);
	}

	change(name: string, change: (call: Call) => Call): void {
		this.state = {
			...this.state,
			calls: this.state.calls.map((call) => (call.key === name || call.id === name ? change(call) : call)),
		};
	}

	add(call: Call): void {
		this.state = { ...this.state, calls: [...this.state.calls, call], ended: null };
	}

	ask(key: string, request: CallRequest): void {
		this.effects.push({ type: "request", key, request });
	}

	isClosed(id: CallId): boolean {
		return this.state.closed.includes(id);
	}

	reopen(id: CallId): void {
		if (this.isClosed(id)) this.state = { ...this.state, closed: this.state.closed.filter((other) => other !== id) };
	}

	/** Takes the call off the list, records it and shows its end to the one who was in it. */
	close(call: Call, outcome: Outcome, at: number): void {
		const calls = this.state.calls.filter((other) => other !== call);
		const closed = call.id === null ? this.state.closed : [...this.state.closed, call.id].slice(-CLOSED_MAX);
		const durationMs = call.phase.name === "up" ? Math.max(0, at - call.phase.since) : null;
		this.state = { ...this.state, calls, closed };
		this.effects.push({ type: "record", record: recordOf(call, outcome, durationMs) });
		if (call.direction === "in" && call.phase.name === "ringing") return;
		if (ongoing(this.state).length > 0) return;
		const { key, direction, peer } = call;
		this.state = { ...this.state, ended: { key, direction, peer, outcome, durationMs, tone: isBusy(outcome), telephones: call.telephones } };
	}
}

function dial(work: Work, to: string, peer: Party, at: number): void {
	makeRoom(work, null, at);
	const dialed = work.state.dialed + 1;
	const key = `out-${dialed}`;
	work.state = { ...work.state, dialed };
	work.add(newCall({ key, id: null, direction: "out", peer, phase: { name: "dialing" }, startedAt: at }));
	work.ask(key, { type: "call", to });
}

function answer(work: Work, key: string): void {
	const call = work.find(key);
	if (call?.id == null || call.direction !== "in" || call.phase.name !== "ringing") return;
	makeRoom(work, call, call.startedAt);
	work.change(key, (it) => ({ ...it, phase: { name: "answering" } }));
	work.ask(call.key, { type: "answer", call: call.id });
}

/** One mouth, one call: others that are up are held, those that only ring are given up. */
function makeRoom(work: Work, keep: Call | null, at: number): void {
	for (const call of work.state.calls) {
		if (call === keep || call.key === keep?.key) continue;
		if (call.phase.name === "up") {
			if (!call.held) setHeld(work, call, true);
		} else if (call.direction === "out") {
			hangup(work, call.key, at);
		}
	}
}

function hangup(work: Work, key: string, at: number): void {
	const call = work.find(key);
	if (call === undefined || call.phase.name === "abandoned") return;
	if (call.id === null) {
		work.change(key, (it) => ({ ...it, phase: { name: "abandoned" } }));
		return;
	}
	if (call.phase.name === "up") {
		work.ask(call.key, { type: "hangup", call: call.id });
		work.close(call, { kind: "cause", cause: "normal" }, at);
	} else if (call.direction === "out") {
		work.ask(call.key, { type: "cancel", call: call.id });
		work.close(call, { kind: "cause", cause: "cancelled" }, at);
	} else if (call.phase.name === "answering") {
		work.ask(call.key, { type: "hangup", call: call.id });
		work.close(call, { kind: "cause", cause: "normal" }, at);
	} else {
		work.ask(call.key, { type: "reject", call: call.id });
		work.close(call, { kind: "cause", cause: "rejected" }, at);
	}
}

function hold(work: Work, key: string, held: boolean): void {
	const call = work.find(key);
	if (call?.phase.name !== "up" || call.held === held) return;
	if (!held) makeRoom(work, call, call.startedAt);
	setHeld(work, call, held);
}

function setHeld(work: Work, call: Call, held: boolean): void {
	work.change(call.key, (it) => ({ ...it, held }));
	if (call.id !== null) work.ask(call.key, { type: "hold", call: call.id, held });
}

function mute(work: Work, key: string, muted: boolean): void {
	const call = work.find(key);
	if (call === undefined || call.muted === muted) return;
	work.change(key, (it) => ({ ...it, muted }));
	// Before the answer there is nobody to tell.
	if (call.id !== null && call.phase.name === "up") work.ask(call.key, { type: "mute", call: call.id, muted });
}

function digit(work: Work, key: string, pressed: string): void {
	const call = work.find(key);
	if (call?.id == null || mediaOf(call) === null || !/^[0-9A-D*#]$/.test(pressed)) return;
	work.change(key, (it) => ({ ...it, digits: (it.digits + pressed).slice(-DIGITS_MAX) }));
	work.ask(call.key, { type: "dtmf", call: call.id, digits: pressed });
	work.effects.push({ type: "digit", digit: pressed });
}

/** A whole string at once: an account and its PIN, with pauses. */
function digitString(work: Work, key: string, typed: string): void {
	const call = work.find(key);
	const digits = digitsOf(typed);
	if (call?.id == null || mediaOf(call) === null || digits === null) return;
	work.change(key, (it) => ({ ...it, digits: (it.digits + digits).slice(-DIGITS_MAX) }));
	for (let at = 0; at < digits.length; at += DIGITS_AT_ONCE) {
		work.ask(call.key, { type: "dtmf", call: call.id, digits: digits.slice(at, at + DIGITS_AT_ONCE) });
	}
}

function transfer(work: Work, key: string, to: string): void {
	const call = work.find(key);
	if (call?.id == null || call.phase.name !== "up" || call.transfer !== null) return;
	work.ask(call.key, { type: "transfer", call: call.id, to });
}

function takeBack(work: Work, key: string): void {
	const call = work.find(key);
	if (call?.id != null && call.transfer?.mine === true) work.ask(call.key, { type: "cancel", call: call.id });
}

function park(work: Work, key: string): void {
	const call = work.find(key);
	if (call?.id == null || call.phase.name !== "up" || call.transfer !== null) return;
	work.ask(call.key, { type: "park", call: call.id });
}

function putTogether(work: Work, type: "connect" | "merge", key: string, other: string): void {
	const call = work.find(key);
	const second = work.find(other);
	if (call?.id == null || second?.id == null || call === second || !canJoin(call, second)) return;
	work.ask(call.key, { type, call: call.id, with: second.id });
}

function signal(work: Work, event: CallEvent, at: number): void {
	// A call that was given away can come back.
	if (event.type === "incoming") work.reopen(event.call);
	if (work.isClosed(event.call)) return;
	switch (event.type) {
		case "incoming":
			return arrive(work, event.call, event.from, event.via ?? null, at);
		case "ringing":
			return work.change(event.call, (call) => advance(call, { name: "ringing" }));
		case "early":
			return work.change(event.call, (call) => soundsEarly(call, event.media));
		case "up":
			return up(work, event.call, event.media, at);
		case "held":
			return work.change(event.call, (call) => heldChanged(call, event.by, event.held));
		case "muted":
			return work.change(event.call, (call) => mutedChanged(call, event.participant, event.muted));
		case "dtmf":
			return work.change(event.call, (call) => digitHeard(call, event.participant, event.digit));
		case "transferring":
			return work.change(event.call, (call) => ({
				...call,
				transfer: { mine: event.by === mediaOf(call)?.participant, by: event.by, to: event.to },
			}));
		case "transfer_failed":
			return returned(work, event.call, event.cause);
		case "diverted":
			return work.change(event.call, (call) => ({ ...call, peer: event.to }));
		case "changed":
			return changed(work, event);
		case "quality":
			return work.change(event.call, (call) => measured(call, event));
		case "ended": {
			const call = work.find(event.call);
			if (call !== undefined) work.close(call, { kind: "cause", cause: event.cause }, at);
		}
	}
}

function arrive(work: Work, id: CallId, from: Party, via: string | null, at: number): void {
	if (work.find(id) !== undefined) return;
	const { ended } = work.state;
	work.add(newCall({ key: id, id, direction: "in", peer: from, phase: { name: "ringing" }, startedAt: at }, via));
	// The screen after the last call may stay behind the panel of the new one.
	work.state = { ...work.state, ended };
	work.ask(id, { type: "ringing", call: id });
}

function up(work: Work, id: CallId, media: Media, at: number): void {
	const call = work.find(id);
	if (call === undefined) return;
	const since = call.phase.name === "up" ? call.phase.since : at;
	const phase: Phase = { name: "up", media: keptMedia(call, media), since };
	work.change(id, (it) => ({ ...it, peer: knownBy(it.peer, media), phase }));
	if (call.muted && call.phase.name !== "up") work.ask(call.key, { type: "mute", call: id, muted: true });
}

/** Nobody took the call. Who has taken it back knows. */
function returned(work: Work, id: CallId, cause: Cause): void {
	const mine = work.find(id)?.transfer?.mine === true;
	work.change(id, (call) => ({ ...call, transfer: null }));
	if (mine && cause !== "cancelled") work.effects.push({ type: "returned", cause });
}

/** Others are in the call now; it may have moved into another one's room and have its name. */
function changed(work: Work, { call: id, now, peer, media }: Extract<CallEvent, { type: "changed" }>): void {
	const there = (participant: string) => media.peers.some((other) => other.participant === participant);
	work.change(id, (call) => ({
		...call,
		id: now,
		peer,
		phase: call.phase.name === "up" ? { ...call.phase, media: keptMedia(call, media) } : call.phase,
		heldBy: call.heldBy.filter(there),
		mutedBy: call.mutedBy.filter(there),
		digitsHeard: "",
		transfer: null,
		telephones: call.telephones.filter((telephone) => there(telephone.participant)),
	}));
	if (now !== id) work.state = { ...work.state, closed: [...work.state.closed, id].slice(-CLOSED_MAX) };
}

/** The same room with a fresher token is no reason to join it again: the old one outlives the call. */
function keptMedia(call: Call, media: Media): Media {
	const known = mediaOf(call);
	const bare = (it: Media) => JSON.stringify({ ...it, token: "" });
	return known !== null && bare(known) === bare(media) ? known : media;
}

/** What was dialled as a bare number may have a name now. */
function knownBy(peer: Party, media: Media): Party {
	const [other] = media.peers;
	if (other === undefined || media.peers.length !== 1 || peer.name !== targetName(peer)) return peer;
	return { ...peer, name: other.name === "" ? peer.name : other.name, kind: other.kind };
}

function targetName(peer: Party): string {
	return peer.number ?? peer.id;
}

/** Sound before the answer: of whom this phone calls, or of the one who is to take the other side's place. */
function soundsEarly(call: Call, media: Media): Call {
	if (call.phase.name !== "up" || call.transfer === null) return advance(call, { name: "early", media });
	return { ...call, phase: { ...call.phase, media: keptMedia(call, media) } };
}

/** Replayed events must not take a call back. */
function advance(call: Call, phase: Phase): Call {
	return RANK[phase.name] > RANK[call.phase.name] ? { ...call, phase } : call;
}

const RANK: Record<Phase["name"], number> = {
	dialing: 0,
	calling: 1,
	ringing: 2,
	early: 3,
	answering: 4,
	abandoned: 5,
	up: 6,
};

function heldChanged(call: Call, by: string, held: boolean): Call {
	if (by === mediaOf(call)?.participant) return { ...call, held };
	return { ...call, heldBy: withMember(call.heldBy, by, held) };
}

function mutedChanged(call: Call, participant: string, muted: boolean): Call {
	if (participant === mediaOf(call)?.participant) return { ...call, muted };
	return { ...call, mutedBy: withMember(call.mutedBy, participant, muted) };
}

function digitHeard(call: Call, participant: string, digit: string): Call {
	if (participant === mediaOf(call)?.participant) return call;
	return { ...call, digitsHeard: (call.digitsHeard + digit).slice(-DIGITS_MAX) };
}

/** Participants are few: a telephone that has left goes with `changed`. */
function measured(call: Call, { participant, from, to }: Extract<CallEvent, { type: "quality" }>): Call {
	const others = call.telephones.filter((telephone) => telephone.participant !== participant);
	return { ...call, telephones: [...others, { participant, from, to }] };
}

function withMember(list: readonly string[], member: string, present: boolean): readonly string[] {
	if (list.includes(member) === present) return list;
	return present ? [...list, member] : list.filter((other) => other !== member);
}

function snapshot(work: Work, views: readonly CallView[], resumed: boolean, at: number): void {
	for (const view of views) {
		if (work.isClosed(view.call)) continue;
		const known = work.find(view.call);
		if (known === undefined) work.add(fromView(view, at));
		else work.change(view.call, (call) => refresh(call, view, at));
		if (view.direction === "in" && view.state === "calling") work.ask(view.call, { type: "ringing", call: view.call });
	}
	// Without a resume nothing of the old session lives; with one the events that follow say what ended.
	if (!resumed)
		settled(
			work,
			views.map((view) => view.call),
			at,
		);
}

function fromView(view: CallView, at: number): Call {
	const call = newCall({
		key: view.call,
		id: view.call,
		direction: view.direction,
		peer: view.peer,
		phase: phaseOf(view, at),
		startedAt: at - (view.up_ms ?? 0),
	}, view.via ?? null);
	return { ...refresh(call, view, at), heard: view.state === "up" };
}

function refresh(call: Call, view: CallView, at: number): Call {
	const own = view.media?.participant;
	const phase = phaseOf(view, at);
	return {
		...(phase.name === "up" && call.phase.name === "up"
			? { ...call, phase: { name: "up", media: keptMedia(call, phase.media), since: call.phase.since } }
			: advance(call, phase)),
		held: own !== undefined && view.held_by.includes(own),
		muted: call.muted || (own !== undefined && view.muted.includes(own)),
		heldBy: view.held_by.filter((by) => by !== own),
		mutedBy: view.muted.filter((by) => by !== own),
		peer: call.transfer === null && view.transferring === undefined && phase.name !== "up" ? call.peer : view.peer,
		transfer: view.transferring === undefined ? null : { mine: view.transferring.by === own, ...view.transferring },
	};
}

function phaseOf(view: CallView, at: number): Phase {
	const { media } = view;
	if (view.state === "up" && media !== undefined) return { name: "up", media, since: at - (view.up_ms ?? 0) };
	if (view.direction === "in") return { name: "ringing" };
	if (view.state === "early" && media !== undefined) return { name: "early", media };
	return { name: view.state === "ringing" ? "ringing" : "calling" };
}

/** What the server does not know any more was lost on the way. */
function settled(work: Work, alive: readonly CallId[], at: number): void {
	for (const call of work.state.calls) {
		if (call.id !== null && !alive.includes(call.id)) work.close(call, { kind: "cause", cause: "lost" }, at);
	}
}

function called(work: Work, key: string, id: CallId): void {
	const call = work.find(key);
	if (call === undefined || call.id !== null) return;
	// After a resume the snapshot may have brought the same call before its answer came.
	if (work.find(id) !== undefined) work.state = { ...work.state, calls: work.state.calls.filter((it) => it.id !== id) };
	if (call.phase.name === "abandoned") {
		work.ask(key, { type: "cancel", call: id });
		work.close({ ...call, id }, { kind: "cause", cause: "cancelled" }, call.startedAt);
		work.state = { ...work.state, calls: work.state.calls.filter((it) => it.key !== key) };
		return;
	}
	work.change(key, (it) => ({ ...it, id, phase: { name: "calling" } }));
}

function refused(work: Work, key: string, request: CallRequest, code: Refusal, at: number): void {
	const call = work.find(key);
	if (call === undefined) return;
	const outcome: Outcome = { kind: "refused", code };
	switch (request.type) {
		case "call":
		case "answer":
			work.close(call, outcome, at);
			return;
		case "hold":
			work.change(key, (it) => ({ ...it, held: !request.held }));
			work.effects.push({ type: "say", code });
			return;
		case "dtmf":
		case "transfer":
		case "connect":
		case "merge":
			work.effects.push({ type: "say", code });
			return;
		case "mute":
		case "ringing":
		case "cancel":
		case "hangup":
		case "reject":
			// The call is ended here already, or the far end only misses a hint.
			return;
	}
}

type Refusal = Extract<Outcome, { kind: "refused" }>["code"];

function newCall(call: Pick<Call, "key" | "id" | "direction" | "peer" | "phase" | "startedAt">, via: string | null = null): Call {
	return { ...call, via, held: false, muted: false, heldBy: [], mutedBy: [], digits: "", digitsHeard: "", heard: false, transfer: null, telephones: [] };
}

function recordOf(call: Call, outcome: Outcome, durationMs: number | null): CallRecord {
	return {
		id: call.id ?? `${call.key}-${call.startedAt}`,
		direction: call.direction,
		peer: call.peer,
		at: call.startedAt,
		durationMs,
		result: resultOf(call, outcome),
		outcome,
	};
}

function resultOf(call: Call, outcome: Outcome): Result {
	if (call.phase.name === "up") return "answered";
	if (outcome.kind === "refused") return "failed";
	if (outcome.cause === "answered_elsewhere") return "elsewhere";
	if (call.direction === "in") return MISSED[outcome.cause] ?? "missed";
	return outcome.cause === "cancelled" ? "cancelled" : "failed";
}

const MISSED: Partial<Record<Cause, Result>> = { rejected: "declined", normal: "declined" };

function isBusy(outcome: Outcome): boolean {
	return outcome.kind === "cause" ? outcome.cause === "busy" || outcome.cause === "rejected" : outcome.code === "busy";
}
