/** Rooms on the signaling socket (docs/protocol.md, section 4, "Rooms"), as the screens call things. */
import type { Event, Request } from "../core/schema.ts";

export type {
	ChatFile,
	ChatMessage,
	DialState,
	Joined,
	RoomAct as Act,
	RoomHappened as Happening,
	RoomKind as Kind,
	RoomLeaving as LeaveReason,
	RoomMedia,
	RoomRole as Role,
	Roster,
	RosterPerson as Person,
	VideoSource as Source,
} from "../core/schema.ts";

export type RoomRequest = Extract<Request, { type: "join" | "leave" | "room" }>;

export type RoomEvent = Extract<Event, { type: (typeof TYPES)[number] }>;

const TYPES = ["room_admitted", "room_media", "roster", "room_event", "chat", "reaction", "room_dial", "room_left"] as const;

export function isRoomEvent(event: Event): event is RoomEvent {
	return TYPES.some((type) => type === event.type);
}
