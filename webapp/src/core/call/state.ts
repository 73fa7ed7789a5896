/** What the phone knows of its calls, and what can happen to them. Plain data. */
import type { CallId, CallView, Cause, Direction, Event, Heard, Media, Party, Request, Silence } from "../schema.ts";
import type { RequestFailure } from "../signal/line.ts";

/** How far a call has come, seen from here. Times are those of `Date.now`. */
export type Phase =
	/** Asked for; the server has not named it yet. */
	| { readonly name: "dialing" }
	/** Given up before the server named it: hidden, and cancelled as soon as it has a name. */
	| { readonly name: "abandoned" }
	/** The far end has not said yet that it rings. */
	| { readonly name: "calling" }
	/** Outgoing: the far end rings. Incoming: this phone does. */
	| { readonly name: "ringing" }
	/** There is sound before the answer. */
	| { readonly name: "early"; readonly media: Media }
	/** Taken here; the server has not said yet where the sound is. */
	| { readonly name: "answering" }
	| { readonly name: "up"; readonly media: Media; readonly since: number };

export interface Call {
	/** Names the call here from its first moment: its id, or a name of ours before there is one. */
	readonly key: string;
	readonly id: CallId | null;
	readonly direction: Direction;
	readonly peer: Party;
	/** Whose number was called first, when the call was sent on to us. */
	readonly via: string | null;
	readonly phase: Phase;
	readonly startedAt: number;
	/** Held, or muted, by this phone. */
	readonly held: boolean;
	readonly muted: boolean;
	/** Other participants that hold the call, or are muted. */
	readonly heldBy: readonly string[];
	readonly mutedBy: readonly string[];
	/** Keys pressed here, and at the other side, since the answer. */
	readonly digits: string;
	readonly digitsHeard: string;
	/** Whether anything of the far end has been heard. */
	readonly heard: boolean;
	/** Somebody is asked to take a place in the call. */
	readonly transfer: Transfer | null;
	/** How the telephones in the call sound, as the server measures it. */
	readonly telephones: readonly Telephone[];
}

/** How a telephone sounded over the last seconds. */
export interface Telephone {
	readonly participant: string;
	/** What it says, and what it hears. */
	readonly from: Heard;
	readonly to: Heard;
}

/** A transfer on its way. `mine`: this phone gives the call away; otherwise the other side does. */
export interface Transfer {
	readonly mine: boolean;
	/** The participant who gives it away. */
	readonly by: string;
	readonly to: Party;
}

/** How a call ended: by a cause, or because the server refused it. */
export type Outcome =
	| { readonly kind: "cause"; readonly cause: Cause }
	| { readonly kind: "refused"; readonly code: RequestFailure };

/** The last call, for the screen after it. */
export interface EndedCall {
	readonly key: string;
	readonly direction: Direction;
	readonly peer: Party;
	readonly outcome: Outcome;
	/** Null when it was never answered. */
	readonly durationMs: number | null;
	/** Whether the busy tone plays. */
	readonly tone: boolean;
	/** How its telephones sounded last. */
	readonly telephones: readonly Telephone[];
}

export interface CallsState {
	/** Oldest first. */
	readonly calls: readonly Call[];
	readonly ended: EndedCall | null;
	/** Calls that are over here, newest last: what still comes about them is ignored. */
	readonly closed: readonly CallId[];
	/** Counts the calls made from here. */
	readonly dialed: number;
}

export const NO_CALLS: CallsState = { calls: [], ended: null, closed: [], dialed: 0 };

/** Answers and events about a call arrive within seconds of its end. */
export const CLOSED_MAX = 32;

/** Keys shown and kept; a long number with its account and PIN. */
export const DIGITS_MAX = 64;

/** What the server takes in one request. */
export const DIGITS_AT_ONCE = 32;

/** Returns a typed string of keys as the server reads it, or null when it is none: a comma, p or w is a pause. */
export function digitsOf(typed: string): string | null {
	const digits = typed.replace(/[\s().-]/g, "").toUpperCase().replace(/[,;PW]/g, "w");
	return /^[0-9A-D*#w]{1,64}$/.test(digits) && /[^w]/.test(digits) ? digits : null;
}

export type CallRequest = Exclude<Request, { type: "register" | "presence" | "rules" }>;

/** What the server says of calls; the rest is about people and settings. */
export type CallEvent = Extract<Event, { call: CallId }>;

/** What became of a call, for the list of recent calls. */
export type Result = "answered" | "missed" | "declined" | "cancelled" | "elsewhere" | "failed";

export interface CallRecord {
	readonly id: string;
	readonly direction: Direction;
	readonly peer: Party;
	/** When it began, `Date.now`. */
	readonly at: number;
	readonly durationMs: number | null;
	readonly result: Result;
	readonly outcome: Outcome;
}

export type CallsEvent =
	| { readonly type: "dial"; readonly to: string; readonly peer: Party; readonly at: number }
	| { readonly type: "answer"; readonly key: string }
	| { readonly type: "hangup"; readonly key: string; readonly at: number }
	| { readonly type: "hold"; readonly key: string; readonly held: boolean }
	| { readonly type: "mute"; readonly key: string; readonly muted: boolean }
	| { readonly type: "digit"; readonly key: string; readonly digit: string }
	/** A string of keys; a comma, p or w is a pause. */
	| { readonly type: "digits"; readonly key: string; readonly digits: string }
	/** Gives the call to somebody else, or takes it back while nobody has answered. */
	| { readonly type: "transfer"; readonly key: string; readonly to: string }
	| { readonly type: "take_back"; readonly key: string }
	/** Lets the other side wait in a slot. */
	| { readonly type: "park"; readonly key: string }
	/** Puts two calls together: this phone leaves them, or stays. */
	| { readonly type: "connect"; readonly key: string; readonly with: string }
	| { readonly type: "merge"; readonly key: string; readonly with: string }
	/** The screen after the call is closed. */
	| { readonly type: "dismiss" }
	/** The busy tone has sounded long enough. */
	| { readonly type: "quiet" }
	| { readonly type: "signal"; readonly event: CallEvent; readonly at: number }
	/** The calls that the server knows of when the line stands. `resumed`: what was missed follows. */
	| { readonly type: "snapshot"; readonly calls: readonly CallView[]; readonly resumed: boolean; readonly at: number }
	/** Everything that a resume replays has come: calls not in `alive` are gone. */
	| { readonly type: "settled"; readonly alive: readonly CallId[]; readonly at: number }
	/** The session is over and will not come back. */
	| { readonly type: "abandon"; readonly at: number }
	/** Answers to requests. */
	| { readonly type: "called"; readonly key: string; readonly call: CallId }
	| {
			readonly type: "refused";
			readonly key: string;
			readonly request: CallRequest;
			readonly code: RequestFailure;
			readonly at: number;
	  }
	/** The first sound of the far end. */
	| { readonly type: "heard"; readonly room: CallId };

export type Effect =
	/** Ask the server; tell `called` or `refused` what became of it. */
	| { readonly type: "request"; readonly key: string; readonly request: CallRequest }
	/** Sound a key here. */
	| { readonly type: "digit"; readonly digit: string }
	/** A refusal that ended nothing: say it. */
	| { readonly type: "say"; readonly code: RequestFailure }
	/** Nobody took the call that was given away. */
	| { readonly type: "returned"; readonly cause: Cause }
	| { readonly type: "record"; readonly record: CallRecord };

/** Returns where the call's sound is, if there is any. */
export function mediaOf(call: Call): Media | null {
	return call.phase.name === "early" || call.phase.name === "up" ? call.phase.media : null;
}

/** Returns whether the one who is to come is heard already, before the answer. */
export function hearsNext(call: Call): boolean {
	if (call.transfer === null || call.transfer.mine) return false;
	const peers = mediaOf(call)?.peers ?? [];
	return peers.length > 0 && peers.every(({ participant }) => participant !== call.transfer?.by);
}

/** Returns whether two calls can be put together: both answered, and neither on its way to somebody else. */
export function canJoin(one: Call, other: Call): boolean {
	const settled = (call: Call) => call.phase.name === "up" && call.transfer === null && call.peer.kind !== "service";
	return settled(one) && settled(other);
}

/**
 * Returns why a telephone is not heard, or does not hear, when that is worth a warning: silence on hold, and of a
 * muted microphone, is as it should be.
 */
export function silenceOf(call: Call): Silence | null {
	if (call.phase.name !== "up" || call.held || call.heldBy.length > 0 || call.transfer !== null) return null;
	for (const { from, to } of call.telephones) {
		if (from.silent !== undefined) return from.silent;
		if (to.silent !== undefined && !call.muted) return to.silent;
	}
	return null;
}

/** Returns the calls that ring here. */
export function incoming(state: CallsState): readonly Call[] {
	return state.calls.filter((call) => call.direction === "in" && call.phase.name === "ringing");
}

/** Returns the calls that this phone is in, the one in front first. */
export function ongoing(state: CallsState): readonly Call[] {
	const rank = (call: Call) => (call.held ? 1 : 0);
	return state.calls
		.filter((call) => call.phase.name !== "abandoned" && !(call.direction === "in" && call.phase.name === "ringing"))
		.toReversed()
		.sort((a, b) => rank(a) - rank(b));
}

/** Returns what to dial to reach a party again. */
export function targetOf(party: Party): string {
	return party.kind === "phone" ? (party.number ?? party.id) : party.id;
}
