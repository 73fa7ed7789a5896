/** What the page knows of the room it is in, or wants into. Plain data, and what can be read from it. */
import type { RequestFailure } from "../core/signal/line.ts";
import type { VideoErrorCode } from "../video/api.ts";
import type { Act, ChatMessage, DialState, Happening, Joined, LeaveReason, Person, Role, RoomEvent, RoomMedia, RoomRequest, Roster } from "./messages.ts";

export type RoomFailure = RequestFailure;

/** What was asked for when the room was entered; asked for again when the connection is back. */
export interface Wish {
	/** As in the link. */
	readonly room: string;
	readonly name: string;
	readonly pin: string;
	readonly listen: boolean;
}

/** A place in a room. */
export interface Stay {
	readonly wish: Wish;
	/** 32 hex digits. */
	readonly id: string;
	readonly participant: string;
	/** Gives the place back. */
	readonly key: string;
	readonly role: Role;
	/** The server is being asked for the place again. */
	readonly again: boolean;
}

export type Place =
	| { readonly name: "none" }
	/** At the door. `wish`: the answer is on its way. */
	| { readonly name: "door"; readonly room: string; readonly wish: Wish | null; readonly key: string | null; readonly failure: RoomFailure | null }
	/** A host has to open. */
	| { readonly name: "waiting"; readonly stay: Stay }
	| { readonly name: "here"; readonly stay: Stay; readonly media: RoomMedia }
	| { readonly name: "left"; readonly wish: Wish; readonly why: LeaveReason };

export interface Reaction {
	readonly id: number;
	readonly from: string;
	readonly emoji: string;
}

/** One thing worth a sentence. */
export type News = { readonly id: number } & (
	| { readonly about: "happening"; readonly event: Happening }
	| { readonly about: "chat"; readonly message: ChatMessage }
	| { readonly about: "refused"; readonly code: RoomFailure }
	| { readonly about: "picture"; readonly code: VideoErrorCode }
	| { readonly about: "back" }
);

/** A telephone that a host invites. */
export interface Dial {
	readonly number: string;
	readonly state: DialState;
	readonly cause: string | null;
	/** It was we who asked for it. */
	readonly mine: boolean;
}

export interface RoomState {
	readonly place: Place;
	readonly roster: Roster | null;
	/** Everyone who was ever seen here, by participant: who has left still has a name. */
	readonly names: ReadonlyMap<string, string>;
	readonly chat: readonly ChatMessage[];
	/** Up to which message the chat was read. */
	readonly read: number;
	readonly reactions: readonly Reaction[];
	readonly news: readonly News[];
	readonly dials: readonly Dial[];
	/** Numbers that we asked for, and of which nothing was told yet. */
	readonly asked: readonly string[];
	/** Who spoke, the latest first. */
	readonly spoke: readonly string[];
	/** Who is to be seen large, as the relay says; null: it has not said so. */
	readonly front: string | null;
	/** The microphone, as this page wants it. */
	readonly muted: boolean;
	/** Who muted it, if not oneself: a name, or empty when nobody is known. */
	readonly mutedBy: string | null;
	readonly held: boolean;
	readonly counter: number;
}

export const NO_ROOM: RoomState = {
	place: { name: "none" },
	roster: null,
	names: new Map(),
	chat: [],
	read: 0,
	reactions: [],
	news: [],
	dials: [],
	asked: [],
	spoke: [],
	front: null,
	muted: false,
	mutedBy: null,
	held: false,
	counter: 0,
};

export type RoomInput =
	/** The address leads to a room. `key`: of a place there that another page of this tab had. */
	| { readonly type: "open"; readonly room: string; readonly key: string | null }
	/** The address leads elsewhere. */
	| { readonly type: "close" }
	| { readonly type: "join"; readonly wish: Wish; readonly muted: boolean }
	| { readonly type: "leave" }
	| { readonly type: "mute"; readonly muted: boolean }
	| { readonly type: "hold"; readonly held: boolean }
	| { readonly type: "act"; readonly act: Act }
	| { readonly type: "read" }
	/** Who is heard here at the moment. */
	| { readonly type: "heard"; readonly participants: readonly string[] }
	/** Who is loudest in the room, or spoke last. */
	| { readonly type: "front"; readonly participant: string | null }
	/** Camera or screen did not come. */
	| { readonly type: "picture_failed"; readonly code: VideoErrorCode }
	/** A reaction has been seen, a piece of news read. */
	| { readonly type: "faded"; readonly id: number }
	| { readonly type: "joined"; readonly joined: Joined }
	| { readonly type: "refused"; readonly request: RoomRequest; readonly code: RoomFailure }
	| { readonly type: "event"; readonly event: RoomEvent }
	/** The signaling socket stands. `resumed`: the server kept our session. */
	| { readonly type: "registered"; readonly resumed: boolean }
	/** The time to ask once more has come. */
	| { readonly type: "retry" }
	/** Nobody is signed in any more. */
	| { readonly type: "abandon" };

export type RoomEffect =
	| { readonly type: "request"; readonly request: RoomRequest }
	/** Come back with `retry`. */
	| { readonly type: "later" };

/** Returns the place that is ours, at the door of which somebody waits or which we have. */
export function stayOf({ place }: RoomState): Stay | null {
	return place.name === "waiting" || place.name === "here" ? place.stay : null;
}

/** Returns our own line of the roster. */
export function selfOf(state: RoomState): Person | null {
	const stay = stayOf(state);
	if (stay === null) return null;
	return state.roster?.people.find(({ participant }) => participant === stay.participant) ?? null;
}

/** Returns what we are in the room, or null outside of one. */
export function roleOf(state: RoomState): Role | null {
	return selfOf(state)?.role ?? stayOf(state)?.role ?? null;
}

export function isHost(state: RoomState): boolean {
	return roleOf(state) === "host";
}

/** Returns whether the role may be heard. */
export function speaks(role: Role | null): boolean {
	return role === "host" || role === "speaker";
}

/** Returns whether a telephone rings that we called, as far as the server still tells us of it. */
export function ringsBack(state: RoomState): boolean {
	const { place, dials } = state;
	return place.name === "here" && !place.stay.again && dials.some((dial) => dial.mine && dial.state === "ringing");
}

/** Returns those who are in the room, ourselves first, raised hands next. */
export function present(state: RoomState): readonly Person[] {
	const own = stayOf(state)?.participant;
	const rank = (person: Person) => (person.participant === own ? -1 : (person.hand ?? Number.MAX_SAFE_INTEGER));
	return (state.roster?.people ?? []).filter(({ presence }) => presence !== "waiting").sort((a, b) => rank(a) - rank(b));
}

/** Returns those whom a host could let in. */
export function waiting(state: RoomState): readonly Person[] {
	return (state.roster?.people ?? []).filter(({ presence }) => presence === "waiting");
}

/** Returns how many messages of others were not read. */
export function unread({ chat, read, ...state }: RoomState): number {
	const own = stayOf({ chat, read, ...state })?.participant;
	return chat.filter(({ n, from }) => n > read && from !== own).length;
}

export function nameOf(state: RoomState, participant: string): string {
	const name = state.names.get(participant) ?? "";
	return name === "" ? participant : name;
}
