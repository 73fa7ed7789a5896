/**
 * Signaling messages (docs/protocol.md, section 4).
 *
 * Made by `cargo xtask schema` from crates/wire/src/signal: do not edit.
 */

/** 32 lower-case hex digits. */
export type CallId = string;

/** What a user says about being there. */
export type OwnPresence = "available" | "busy" | "away";

/** What others see of a user. */
export type PresenceState = "available" | "busy" | "away" | "offline" | "ringing";

/** A user, or a telephone of Asterisk's, as others see them. */
export interface Presence {
	user: string;
	name: string;
	number?: string;
	state: PresenceState;
	kind?: PartyKind;
}

/** What a user wants done with calls: targets are ids or numbers. */
export interface Rules {
	undisturbed: boolean;
	always?: string;
	busy?: string;
	no_answer?: string;
	after_s: number;
}

/** What kind of thing takes part in a call. */
export type PartyKind = "browser" | "phone" | "service";

/** Who is at an end of a call. */
export interface Party {
	id: string;
	name: string;
	number?: string;
	kind: PartyKind;
}

/** A call that waits in a slot. */
export interface ParkedCall {
	slot: string;
	who: Party;
	by: Party;
}

/** What can be dialled for more than a call. */
export interface Services {
	voicemail?: string;
	park?: string;
	pick_up?: string;
}

/** Another participant whose audio can be subscribed to. */
export interface Peer {
	participant: string;
	namespace: string[];
	name: string;
	kind: PartyKind;
}

/** Where a device publishes its audio and whom it hears. */
export interface Media {
	room: CallId;
	participant: string;
	namespace: string[];
	token: string;
	peers: Peer[];
}

/** Who began a call, seen from a device. */
export type Direction = "in" | "out";

/** How far a call has come. */
export type CallState = "calling" | "ringing" | "early" | "up";

/** A call that is alive, as one of its devices sees it. */
export interface CallView {
	call: CallId;
	direction: Direction;
	state: CallState;
	peer: Party;
	held_by: string[];
	muted: string[];
	up_ms?: number;
	media?: Media;
	transferring?: Transferring;
	via?: string;
}

/** One direction of a telephone's sound. Figures are absent when nothing was to be heard. */
export interface Heard {
	mos?: number;
	r?: number;
	lost_percent?: number;
	delay_ms?: number;
	jitter_ms?: number;
	silent?: Silence;
}

/** Why nothing is heard. */
export type Silence =
	| "telephone_never_sent"
	| "telephone_stopped"
	| "telephone_mute"
	| "others_never_sent"
	| "others_stopped";

/** A transfer on its way. */
export interface Transferring {
	by: string;
	to: Party;
}

/** Why a call ended. */
export type Cause =
	| "normal"
	| "cancelled"
	| "rejected"
	| "busy"
	| "no_answer"
	| "not_found"
	| "unreachable"
	| "answered_elsewhere"
	| "lost"
	| "transferred"
	| "too_long"
	| "failed"
	| "shutdown";

/** Why something was refused. */
export type Code =
	| "bad_message"
	| "too_large"
	| "unsupported_version"
	| "unauthorized"
	| "expired"
	| "not_registered"
	| "already_registered"
	| "not_found"
	| "offline"
	| "busy"
	| "no_such_call"
	| "wrong_state"
	| "forbidden"
	| "no_route"
	| "blocked"
	| "trunk_down"
	| "too_many"
	| "rate_limited"
	| "shutting_down"
	| "internal";

/** The session to take over. */
export interface Resume {
	session: string;
	key: string;
	seq: number;
}

/** What a client wants; `id` is added by whoever sends it. */
export type Request =
	| { type: "register"; token: string; resume?: Resume }
	| { type: "presence"; state: OwnPresence }
	| ({ type: "rules" } & Rules)
	| { type: "call"; to: string }
	| { type: "ringing"; call: CallId }
	| { type: "answer"; call: CallId }
	| { type: "reject"; call: CallId }
	| { type: "cancel"; call: CallId }
	| { type: "hangup"; call: CallId }
	| { type: "hold"; call: CallId; held: boolean }
	| { type: "mute"; call: CallId; muted: boolean }
	| { type: "dtmf"; call: CallId; digits: string }
	| { type: "transfer"; call: CallId; to: string }
	| { type: "park"; call: CallId }
	| { type: "connect"; call: CallId; with: CallId }
	| { type: "merge"; call: CallId; with: CallId };

/** What the server allows a device. */
export interface Limits {
	message_bytes: number;
	calls: number;
	ring_seconds: number;
	call_seconds: number;
	grace_seconds: number;
}

/** What `ok` carries for `register`. */
export interface Registered {
	session: string;
	key: string;
	user: string;
	device: string;
	resumed: boolean;
	calls: CallView[];
	presence: Presence[];
	rules: Rules;
	messages: boolean;
	parked: ParkedCall[];
	services: Services;
	limits: Limits;
}

/** Something that happened. */
export type Event =
	| ({ type: "presence" } & Presence)
	| { type: "incoming"; call: CallId; from: Party; via?: string }
	| { type: "ringing"; call: CallId }
	| { type: "early"; call: CallId; media: Media }
	| { type: "up"; call: CallId; media: Media }
	| { type: "held"; call: CallId; held: boolean; by: string }
	| { type: "muted"; call: CallId; participant: string; muted: boolean }
	| { type: "dtmf"; call: CallId; participant: string; digit: string }
	| { type: "transferring"; call: CallId; by: string; to: Party }
	| { type: "transfer_failed"; call: CallId; cause: Cause; reason: string }
	| { type: "changed"; call: CallId; now: CallId; peer: Party; media: Media }
	| { type: "quality"; call: CallId; participant: string; from: Heard; to: Heard }
	| { type: "diverted"; call: CallId; to: Party }
	| ({ type: "rules" } & Rules)
	| { type: "messages"; waiting: boolean }
	| ({ type: "parked" } & ParkedCall)
	| { type: "unparked"; slot: string }
	| { type: "ended"; call: CallId; cause: Cause; reason: string };

/** An answer, or a word about the connection. */
export type Notice =
	| ({ type: "ok"; id: number } & Partial<Registered> & { call?: CallId })
	| { type: "refused"; id: number; code: Code; reason: string }
	| { type: "error"; code: Code; reason: string }
	| { type: "ping" }
	| { type: "bye"; reason: string };

/** A message from the server. */
export type ServerMessage = (Event & { seq: number }) | Notice;
