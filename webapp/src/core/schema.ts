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
	| "no_such_room"
	| "pin_required"
	| "pin_wrong"
	| "locked"
	| "full"
	| "banned"
	| "not_host"
	| "shutting_down"
	| "internal";

/** An open room: 32 lower-case hex digits, others each time it opens. */
export type RoomId = string;

/** What a participant of a room is. */
export type RoomKind = "browser" | "telephone" | "recorder" | "program";

/** What a participant of a room may. */
export type RoomRole = "host" | "speaker" | "listener" | "recorder";

/** How a participant is there. */
export type RoomPresence = "waiting" | "here" | "away";

/** What is to be seen of a participant. */
export type VideoSource = "camera" | "screen";

/** One of a roster. `quality` is a mean opinion score. */
export interface RosterPerson {
	participant: string;
	name: string;
	kind: RoomKind;
	role: RoomRole;
	presence: RoomPresence;
	muted: boolean;
	hand?: number;
	speaking: boolean;
	level_db: number;
	held: boolean;
	quality?: number;
	video: VideoSource[];
}

/** Everyone in a room and what holds for it; also the track `roster`. */
export interface Roster {
	version: number;
	room: string;
	name: string;
	title: string;
	number?: string;
	locked: boolean;
	lobby: boolean;
	recording: boolean;
	listening: string[];
	people: RosterPerson[];
}

/** Why somebody is in a room no more. */
export type RoomLeaving =
	| "left"
	| "lost"
	| "removed"
	| "banned"
	| "ended"
	| "shutdown"
	| "elsewhere";

/** What happened in a room. */
export type RoomWhat =
	| { type: "joined"; participant: string }
	| { type: "waiting"; participant: string }
	| { type: "away"; participant: string }
	| { type: "back"; participant: string }
	| { type: "left"; participant: string; why: RoomLeaving }
	| { type: "muted"; participant: string; muted: boolean }
	| { type: "all_muted" }
	| { type: "hand"; participant: string; raised: boolean }
	| { type: "role"; participant: string; role: RoomRole }
	| { type: "level"; participant: string; db: number }
	| { type: "held"; participant: string; held: boolean }
	| { type: "locked"; locked: boolean }
	| { type: "lobby"; lobby: boolean };

/** What happened in a room, and who did it; also the track `events`. */
export type RoomHappened = { seq: number; by?: string } & RoomWhat;

/** Who wants to come into a room, and how. */
export interface Join {
	room: string;
	name?: string;
	pin?: string;
	key?: string;
	listen?: boolean;
}

/** What somebody in a room wants. */
export type RoomAct =
	| { act: "mute"; participant: string; muted: boolean }
	| { act: "mute_all" }
	| { act: "hand"; participant: string; raised: boolean }
	| { act: "lock"; locked: boolean }
	| { act: "lobby"; lobby: boolean }
	| { act: "admit"; participant: string }
	| { act: "remove"; participant: string }
	| { act: "ban"; participant: string }
	| { act: "role"; participant: string; role: RoomRole }
	| { act: "level"; participant: string; db: number }
	| { act: "end" }
	| { act: "hold"; held: boolean }
	| { act: "dial"; number: string }
	| { act: "say"; text: string; to?: string; file?: string }
	| { act: "react"; emoji: string }
	| { act: "quality"; mos: number }
	| { act: "video"; camera: boolean; screen: boolean };

/** What names a room to people. */
export interface RoomView {
	id: RoomId;
	name: string;
	title?: string;
	number?: string;
}

/** Where somebody in a room publishes and whom to hear. No `seats`: each participant's own track. */
export interface RoomMedia {
	room: RoomId;
	participant: string;
	namespace: string[];
	token: string;
	seats: number;
	video: boolean;
	files?: FilesTaken;
}

/** Whether one is in a room or waits to be let in. */
export type PlaceState = "here" | "waiting";

/** A file in a room: at `/api/v1/rooms/{room}/files/{id}` while the room is open. */
export interface ChatFile {
	id: string;
	name: string;
	type: string;
	bytes: number;
}

/** What files a room takes: up to so many bytes, of these media types. */
export interface FilesTaken {
	bytes: number;
	types: string[];
}

/** Something said in words: to all, or to one alone. */
export interface ChatMessage {
	n: number;
	from: string;
	name: string;
	to?: string;
	text: string;
	file?: ChatFile;
	at_ms: number;
}

/** How far the call of a telephone into a room has come. */
export type DialState = "calling" | "ringing" | "up" | "ended";

/** What `ok` carries for `join`. No `media` while waiting. */
export interface Joined {
	room: RoomView;
	participant: string;
	key: string;
	role: RoomRole;
	state: PlaceState;
	media?: RoomMedia;
	roster: Roster;
	chat: ChatMessage[];
}

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
	| { type: "merge"; call: CallId; with: CallId }
	| ({ type: "join" } & Join)
	| { type: "leave"; room: RoomId }
	| { type: "room"; room: RoomId; do: RoomAct };

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
	| { type: "room_admitted"; room: RoomId; key: string; role: RoomRole; media: RoomMedia; roster: Roster; chat: ChatMessage[] }
	| { type: "room_media"; room: RoomId; key: string; role: RoomRole; media: RoomMedia }
	| { type: "roster"; room: RoomId; roster: Roster }
	| { type: "room_event"; room: RoomId; event: RoomHappened }
	| { type: "chat"; room: RoomId; message: ChatMessage }
	| { type: "reaction"; room: RoomId; from: string; emoji: string }
	| { type: "room_dial"; room: RoomId; number: string; state: DialState; cause?: Cause }
	| { type: "room_left"; room: RoomId; why: RoomLeaving }
	| { type: "ended"; call: CallId; cause: Cause; reason: string };

/** An answer, or a word about the connection. */
export type Notice =
	| ({ type: "ok"; id: number } & Partial<Registered> & Partial<Joined> & { call?: CallId })
	| { type: "refused"; id: number; code: Code; reason: string }
	| { type: "error"; code: Code; reason: string }
	| { type: "ping" }
	| { type: "bye"; reason: string };

/** A message from the server. */
export type ServerMessage = (Event & { seq: number }) | Notice;
