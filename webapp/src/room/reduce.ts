/** The state machine of the room: `(state, input) → state and effects`. No clock, no I/O. */
import type { Act, ChatMessage, Happening, Joined, LeaveReason, Person, RoomEvent, RoomRequest, Roster } from "./messages.ts";
import { type Dial, NO_ROOM, type News, type Place, type RoomEffect, type RoomFailure, type RoomInput, type RoomState, type Stay, type Wish, selfOf, stayOf } from "./state.ts";
import { cleanName, cleanSign, cleanText } from "./text.ts";

/** Messages kept: what the server gives to who comes late, five times. */
const CHAT_MAX = 500;
/** Reactions seen at a time. */
const REACTIONS_MAX = 24;
/** More than this nobody reads before it goes. */
const NEWS_MAX = 4;
/** Telephones that are being invited, and those that lately were. */
const DIALS_MAX = 8;
/** Names remembered of those who have left. */
const NAMES_MAX = 2_000;
/** Speakers remembered: more than there are seats. */
const SPOKE_MAX = 16;

/** Refusals that another try may overcome. */
const PASSING: ReadonlySet<RoomFailure> = new Set(["timeout", "lost", "rate_limited", "too_many", "shutting_down", "internal", "queue_full", "not_registered"]);

export interface Reduced {
	readonly state: RoomState;
	readonly effects: readonly RoomEffect[];
}

export function reduce(state: RoomState, input: RoomInput): Reduced {
	switch (input.type) {
		case "open":
			return open(state, input.room, input.key);
		case "close":
			return leave(state, { name: "none" });
		case "join":
			return join(state, input.wish, input.muted);
		case "leave":
			return left(state, "left");
		case "mute":
			return mute(state, input.muted);
		case "hold":
			return hold(state, input.held);
		case "act":
			return { state: input.act.act === "dial" ? asking(state, input.act.number) : state, effects: acts(state, input.act) };
		case "read":
			// Who has the message need not be told of it; a screen reader reads the chat itself.
			return only({ ...state, read: state.chat.at(-1)?.n ?? state.read, news: state.news.filter(({ about }) => about !== "chat") });
		case "heard": {
			const spoke = latest(state.spoke, input.participants);
			return only(spoke === state.spoke ? state : { ...state, spoke });
		}
		case "front":
			return only(input.participant === state.front ? state : { ...state, front: input.participant });
		case "picture_failed":
			return only(tell(state, { about: "picture", code: input.code }));
		case "faded":
			return only({
				...state,
				reactions: state.reactions.filter(({ id }) => id !== input.id),
				news: state.news.filter(({ id }) => id !== input.id),
			});
		case "joined":
			return joined(state, input.joined);
		case "refused":
			return refused(state, input.request, input.code);
		case "event":
			return event(state, input.event);
		case "registered":
			return registered(state, input.resumed);
		case "retry":
			return again(state);
		case "abandon":
			return only(abandoned(state));
	}
}

const only = (state: RoomState): Reduced => ({ state, effects: [] });

function open(state: RoomState, room: string, key: string | null): Reduced {
	const { place } = state;
	if (place.name === "door" && place.room === room) return only(state);
	if ((place.name === "here" || place.name === "waiting") && place.stay.wish.room === room) return only(state);
	return leave(state, { name: "door", room, wish: null, key, failure: null });
}

/** Goes elsewhere, and tells the server if it knows of us. */
function leave(state: RoomState, place: Place): Reduced {
	const stay = stayOf(state);
	const effects: RoomEffect[] = stay === null ? [] : [{ type: "request", request: { type: "leave", room: stay.id } }];
	return { state: { ...NO_ROOM, counter: state.counter, place }, effects };
}

function left(state: RoomState, why: LeaveReason): Reduced {
	const stay = stayOf(state);
	return stay === null ? only(state) : leave(state, { name: "left", wish: stay.wish, why });
}

function join(state: RoomState, wish: Wish, muted: boolean): Reduced {
	const { place } = state;
	if (place.name === "here" || place.name === "waiting") return only(state);
	if (place.name === "door" && place.wish !== null) return only(state);
	const key = place.name === "door" ? place.key : null;
	const door: Place = { name: "door", room: wish.room, wish, key, failure: null };
	return { state: { ...state, place: door, muted }, effects: [asks(wish, key)] };
}

function asks({ room, name, pin, listen }: Wish, key: string | null): RoomEffect {
	const request: RoomRequest = {
		type: "join",
		room,
		...(name === "" ? {} : { name }),
		...(pin === "" ? {} : { pin }),
		...(key === null ? {} : { key }),
		...(listen ? { listen } : {}),
	};
	return { type: "request", request };
}

/** Nobody is signed in: the room is left, and whoever signs in next stands before it. */
function abandoned(state: RoomState): RoomState {
	const { place } = state;
	const room = stayOf(state)?.wish.room ?? (place.name === "door" ? place.room : null);
	if (room === null) return NO_ROOM;
	return { ...NO_ROOM, counter: state.counter, place: { name: "door", room, wish: null, key: null, failure: null } };
}

function joined(state: RoomState, { room, participant, key, role, state: how, media, roster, chat }: Joined): Reduced {
	const before = stayOf(state);
	const wish = before?.wish ?? (state.place.name === "door" ? state.place.wish : null);
	// Left while the answer was on its way: nobody wants the place.
	if (wish === null) return { state, effects: [{ type: "request", request: { type: "leave", room: room.id } }] };
	const stay: Stay = { wish, id: room.id, participant, key, role, again: false };
	const place: Place = how === "here" && media !== undefined ? { name: "here", stay, media } : { name: "waiting", stay };
	const known = before === null ? { ...NO_ROOM, counter: state.counter, muted: state.muted, mutedBy: state.mutedBy } : state;
	const placed: RoomState = { ...known, place };
	const seen = told(forgotten(placed), roster, chat, before === null);
	const back = before !== null && place.name === "here" ? tell(seen, { about: "back" }) : seen;
	return { state: back, effects: settles(back, before === null) };
}

/** Takes the whole state of a room. `first`: what was said before we came counts as read. */
function told(state: RoomState, roster: Roster, chat: readonly ChatMessage[], first: boolean): RoomState {
	const messages = merge(state.chat, chat);
	const read = first ? (messages.at(-1)?.n ?? 0) : state.read;
	return listed({ ...state, chat: messages, read }, roster);
}

/** Says what the server cannot know: a microphone that is off, and a place on hold. */
function settles(state: RoomState, first: boolean): readonly RoomEffect[] {
	const stay = stayOf(state);
	if (state.place.name !== "here" || stay === null) return [];
	const { participant } = stay;
	const known = selfOf(state)?.muted ?? false;
	return [
		...(state.muted && !known ? acts(state, { act: "mute", participant, muted: true }) : []),
		...(state.held && !first ? acts(state, { act: "hold", held: true }) : []),
	];
}

function refused(state: RoomState, request: RoomRequest, code: RoomFailure): Reduced {
	if (request.type === "room" && request.do.act === "dial") {
		const { number } = request.do;
		state = { ...state, asked: state.asked.filter((asked) => asked !== number) };
	}
	if (request.type !== "join") return only(request.type === "leave" ? state : tell(state, { about: "refused", code }));
	const { place } = state;
	const stay = stayOf(state);
	if (stay !== null) {
		if (PASSING.has(code)) return { state, effects: [{ type: "later" }] };
		// The room that there was is gone, or lets us in no more: back to the door, which says why.
		const door: Place = { name: "door", room: stay.wish.room, wish: null, key: null, failure: code };
		return only({ ...NO_ROOM, counter: state.counter, place: door });
	}
	if (place.name !== "door" || place.wish === null) return only(state);
	return only({ ...state, place: { ...place, wish: null, key: null, failure: code } });
}

function registered(state: RoomState, resumed: boolean): Reduced {
	const stay = stayOf(state);
	return resumed && stay?.again !== true ? only(state) : again(state);
}

/** Asks for the place that we had. */
function again(state: RoomState): Reduced {
	const stay = stayOf(state);
	return stay === null ? only(state) : { state: marked(state), effects: [asks(stay.wish, stay.key)] };
}

/** The place is to be asked for again. */
function marked(state: RoomState): RoomState {
	const { place } = state;
	if (place.name !== "here" && place.name !== "waiting") return state;
	return { ...state, place: { ...place, stay: { ...place.stay, again: true } } };
}

function mute(state: RoomState, muted: boolean): Reduced {
	const stay = stayOf(state);
	const next = { ...state, muted, mutedBy: muted ? state.mutedBy : null };
	if (stay === null) return only(next);
	return { state: next, effects: acts(state, { act: "mute", participant: stay.participant, muted }) };
}

function hold(state: RoomState, held: boolean): Reduced {
	if (state.held === held) return only(state);
	return { state: { ...state, held }, effects: acts(state, { act: "hold", held }) };
}

function acts(state: RoomState, act: Act): readonly RoomEffect[] {
	if (state.place.name !== "here") return [];
	return [{ type: "request", request: { type: "room", room: state.place.stay.id, do: act } }];
}

function event(state: RoomState, event: RoomEvent): Reduced {
	const { place } = state;
	const stay = stayOf(state);
	if (stay === null || event.room !== stay.id) return only(state);
	switch (event.type) {
		case "room_admitted": {
			const here: Place = { name: "here", stay: { ...stay, key: event.key, role: event.role }, media: event.media };
			const next = told({ ...state, place: here }, event.roster, event.chat, place.name !== "here");
			return { state: next, effects: place.name === "here" ? [] : settles(next, true) };
		}
		case "room_media": {
			const { key, role, media } = event;
			return only({ ...state, place: { name: "here", stay: { ...stay, key, role }, media } });
		}
		case "roster":
			return only(listed(state, event.roster));
		case "room_event":
			return only(happened(state, event.event));
		case "chat":
			return only(said(state, event.message, stay));
		case "reaction": {
			const id = state.counter + 1;
			const reactions = [...state.reactions, { id, from: event.from, emoji: cleanSign(event.emoji) }].slice(-REACTIONS_MAX);
			return only({ ...state, reactions, counter: id });
		}
		case "room_dial":
			return only(dialled(state, event));
		case "room_left":
			// The server goes, and most likely comes back: so do we, as soon as it does.
			if (event.why === "shutdown") return only(marked(state));
			return only({ ...NO_ROOM, counter: state.counter, place: { name: "left", wish: stay.wish, why: event.why } });
	}
}

/** A new roster. Our microphone follows the server only when that mutes: nobody else opens it. */
function listed(state: RoomState, roster: Roster): RoomState {
	const next: RoomState = { ...state, roster, names: named(state.names, roster.people), spoke: latest(state.spoke, speaking(roster.people)) };
	const own = selfOf(next);
	if (own?.role !== "host" && (next.asked.length > 0 || next.dials.some(({ mine }) => mine))) return listed(forgotten(next), roster);
	return own?.muted === true && !state.muted ? { ...next, muted: true, mutedBy: state.mutedBy ?? "" } : next;
}

function named(names: ReadonlyMap<string, string>, people: readonly Person[]): ReadonlyMap<string, string> {
	const seen = people.map(({ participant, name }) => [participant, cleanName(name)] as const);
	if (seen.every(([participant, name]) => names.get(participant) === name)) return names;
	return new Map([...names, ...seen].slice(-NAMES_MAX));
}

function speaking(people: readonly Person[]): readonly string[] {
	return people.filter((person) => person.speaking === true).map(({ participant }) => participant);
}

/** Puts who speaks in front; who was among the latest anyhow keeps the place, so that nothing jumps. */
function latest(spoke: readonly string[], now: readonly string[]): readonly string[] {
	const front = spoke.slice(0, now.length);
	const fresh = now.filter((participant) => !front.includes(participant));
	if (fresh.length === 0) return spoke;
	return [...fresh, ...spoke.filter((participant) => !fresh.includes(participant))].slice(0, SPOKE_MAX);
}

function happened(state: RoomState, event: Happening): RoomState {
	const own = stayOf(state)?.participant;
	const next = tell(state, { about: "happening", event });
	const by = event.by;
	if (by === undefined || by === own) return next;
	const mutes = (event.type === "muted" && event.muted && event.participant === own) || (event.type === "all_muted" && selfOf(state)?.role !== "host");
	return mutes ? { ...next, muted: true, mutedBy: state.names.get(by) ?? "" } : next;
}

function said(state: RoomState, message: ChatMessage, stay: Stay): RoomState {
	const chat = merge(state.chat, [message]);
	if (chat === state.chat) return state;
	const next = { ...state, chat };
	return message.from === stay.participant ? next : tell(next, { about: "chat", message });
}

/** In the order of their numbers, each once. */
function merge(known: readonly ChatMessage[], more: readonly ChatMessage[]): readonly ChatMessage[] {
	const fresh = more.filter(({ n }) => !known.some((message) => message.n === n));
	if (fresh.length === 0) return known;
	const clean = fresh.map((message) => ({ ...message, name: cleanName(message.name), text: cleanText(message.text) }));
	return [...known, ...clean].sort((a, b) => a.n - b.n).slice(-CHAT_MAX);
}

function asking(state: RoomState, number: string): RoomState {
	return state.place.name === "here" ? { ...state, asked: [...state.asked, number].slice(-DIALS_MAX) } : state;
}

/** How far a telephone is. All hosts are told, whoever of them called it. */
function dialled(state: RoomState, { number, state: how, cause }: RoomEvent & { type: "room_dial" }): RoomState {
	const before = state.dials.find((dial) => dial.number === number);
	const index = how === "calling" ? state.asked.findIndex((asked) => isSameNumber(asked, number)) : -1;
	const mine = how === "calling" ? index >= 0 : (before?.mine ?? false);
	const dial: Dial = { number, state: how, cause: cause ?? null, mine };
	const dials = [...state.dials.filter((other) => other !== before), dial].slice(-DIALS_MAX);
	return { ...state, dials, asked: index < 0 ? state.asked : state.asked.toSpliced(index, 1) };
}

/** The server says a number as the network has it: `+49 30 123` for what was typed as `030 123`. */
function isSameNumber(one: string, other: string): boolean {
	const [a, b] = [one, other].map((number) => number.replace(/\D/g, "").replace(/^0+/, "")) as [string, string];
	return a === "" || b === "" ? one.trim() === other.trim() : a.endsWith(b) || b.endsWith(a);
}

/** What is told while we are away, or are no host, does not reach us: nobody waits for it. */
function forgotten(state: RoomState): RoomState {
	return { ...state, dials: state.dials.map((dial) => ({ ...dial, mine: false })), asked: [] };
}

type Told = News extends infer N ? (N extends unknown ? Omit<N, "id"> : never) : never;

function tell(state: RoomState, news: Told): RoomState {
	const id = state.counter + 1;
	return { ...state, news: [...state.news, { id, ...news } as News].slice(-NEWS_MAX), counter: id };
}
