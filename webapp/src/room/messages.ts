/** Rooms on the signaling socket (docs/protocol.md, section 4, "Rooms"). Times are those of `Date.now`. */

export type Kind = "browser" | "telephone" | "recorder" | "program";
export type Role = "host" | "speaker" | "listener" | "recorder";
export type Presence = "waiting" | "here" | "away";
export type Source = "camera" | "screen";

/** Somebody in a room. Names are what people typed. */
export interface Person {
	participant: string;
	name: string;
	kind: Kind;
	role: Role;
	presence: Presence;
	muted: boolean;
	/** The order in which hands went up. */
	hand?: number;
	speaking: boolean;
	level_db: number;
	held: boolean;
	/** Mean opinion score, 1 to 4.5. */
	quality?: number;
	video: Source[];
}

/** Everything that holds in a room. */
export interface Roster {
	version: number;
	room: string;
	name: string;
	title: string;
	number?: string;
	locked: boolean;
	lobby: boolean;
	people: Person[];
	recording: boolean;
	/** Names of programs that listen. */
	listening: string[];
}

export interface RoomMedia {
	room: string;
	participant: string;
	namespace: string[];
	token: string;
	/** Tracks that carry whoever is heard; 0: each person's own track is to be subscribed to. */
	seats: number;
	video: boolean;
}

export interface ChatMessage {
	/** Counts up in a room. */
	n: number;
	from: string;
	name: string;
	/** To one alone. */
	to?: string;
	text: string;
	at_ms: number;
}

export type LeaveReason = "left" | "lost" | "removed" | "banned" | "ended" | "shutdown" | "elsewhere";

/** What `ok` carries for `join`. */
export interface Joined {
	room: { id: string; name: string; title?: string; number?: string };
	participant: string;
	key: string;
	role: Role;
	state: "here" | "waiting";
	media?: RoomMedia;
	roster: Roster;
	chat: ChatMessage[];
}

export type Act =
	| { act: "mute"; participant: string; muted: boolean }
	| { act: "mute_all" }
	| { act: "hand"; participant: string; raised: boolean }
	| { act: "lock"; locked: boolean }
	| { act: "lobby"; lobby: boolean }
	| { act: "admit"; participant: string }
	| { act: "remove"; participant: string }
	| { act: "ban"; participant: string }
	| { act: "role"; participant: string; role: Role }
	| { act: "level"; participant: string; db: number }
	| { act: "end" }
	| { act: "hold"; held: boolean }
	| { act: "dial"; number: string }
	| { act: "say"; text: string; to?: string }
	| { act: "react"; emoji: string }
	| { act: "video"; camera: boolean; screen: boolean };

export type RoomRequest =
	| { type: "join"; room: string; name?: string; pin?: string; key?: string; listen?: boolean }
	| { type: "leave"; room: string }
	| { type: "room"; room: string; do: Act };

/** Something that happened in a room, and who did it. */
export type Happening = { seq: number; by?: string } & (
	| { type: "joined" | "waiting" | "away" | "back"; participant: string }
	| { type: "left"; participant: string; why: LeaveReason }
	| { type: "muted"; participant: string; muted: boolean }
	| { type: "all_muted" }
	| { type: "hand"; participant: string; raised: boolean }
	| { type: "role"; participant: string; role: Role }
	| { type: "locked"; locked: boolean }
	| { type: "lobby"; lobby: boolean }
	| { type: "level"; participant: string; db: number }
	| { type: "held"; participant: string; held: boolean }
);

export type DialState = "calling" | "ringing" | "up" | "ended";

export type RoomEvent =
	| { type: "room_admitted"; room: string; key: string; role: Role; media: RoomMedia; roster: Roster; chat: ChatMessage[] }
	| { type: "room_media"; room: string; key: string; role: Role; media: RoomMedia }
	| { type: "roster"; room: string; roster: Roster }
	| { type: "room_event"; room: string; event: Happening }
	| { type: "chat"; room: string; message: ChatMessage }
	| { type: "reaction"; room: string; from: string; emoji: string }
	| { type: "room_dial"; room: string; number: string; state: DialState; cause?: string }
	| { type: "room_left"; room: string; why: LeaveReason };

/** Why a room lets nobody in, beside what every request can be refused with. */
export type RoomCode = "pin_required" | "pin_wrong" | "locked" | "full" | "banned" | "not_host" | "no_such_room";

const TYPES: ReadonlySet<string> = new Set<RoomEvent["type"]>([
	"room_admitted",
	"room_media",
	"roster",
	"room_event",
	"chat",
	"reaction",
	"room_dial",
	"room_left",
]);

export function isRoomEvent(event: { type: string }): event is RoomEvent {
	return TYPES.has(event.type);
}
