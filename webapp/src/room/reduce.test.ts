import { describe, expect, it } from "vitest";
import type { Happening, RoomEvent } from "./messages.ts";
import { reduce } from "./reduce.ts";
import { NO_ROOM, type RoomEffect, type RoomInput, type RoomState, type Wish, nameOf, present, ringsBack, selfOf, unread } from "./state.ts";
import { ROOM, joined, media, message, person, roster } from "./testing.ts";

const WISH: Wish = { room: "board", name: "Anna", pin: "", listen: false };

describe("coming in", () => {
	it("asks with what was typed, and is in the room", () => {
		const door = after({ type: "open", room: "board", key: null });
		const { state, effects } = run(door, { type: "join", wish: { ...WISH, pin: "4711", listen: true }, muted: false });
		expect(effects).toEqual([{ type: "request", request: { type: "join", room: "board", name: "Anna", pin: "4711", listen: true } }]);
		expect(run(state, { type: "join", wish: WISH, muted: false }).effects).toEqual([]);

		const here = after({ type: "joined", joined: joined() }, state);

		expect(here.place).toMatchObject({ name: "here", media: media(), stay: { id: ROOM, participant: "p1", key: "k1", again: false } });
		expect(present(here).map(({ name }) => name)).toEqual(["Anna", "Bert"]);
	});

	it("says why it may not, and lets one try again", () => {
		const refused = after({ type: "refused", request: { type: "join", room: "board" }, code: "pin_wrong" }, asking());

		expect(refused.place).toMatchObject({ name: "door", wish: null, failure: "pin_wrong" });
		expect(run(refused, { type: "join", wish: WISH, muted: false }).effects).toHaveLength(1);
	});

	it("waits until a host opens", () => {
		const waiting = after({ type: "joined", joined: { ...joined({ state: "waiting" }), media: undefined } as never }, asking());
		expect(waiting.place.name).toBe("waiting");

		const event: RoomEvent = { type: "room_admitted", room: ROOM, key: "k2", role: "speaker", media: media(), roster: joined().roster, chat: [message(1, "p2", "hello")] };
		const here = after({ type: "event", event }, waiting);

		expect(here.place).toMatchObject({ name: "here", stay: { key: "k2" } });
		expect(unread(here)).toBe(0);
	});

	it("muted tells the room so", () => {
		const state = after({ type: "join", wish: WISH, muted: true }, after({ type: "open", room: "board", key: null }));

		const { effects } = run(state, { type: "joined", joined: joined() });

		expect(effects).toEqual([act({ act: "mute", participant: "p1", muted: true })]);
	});

	it("gives a place back that came after one had left the door", () => {
		const gone = after({ type: "close" }, asking());

		expect(run(gone, { type: "joined", joined: joined() }).effects).toEqual([{ type: "request", request: { type: "leave", room: ROOM } }]);
	});
});

describe("losing and coming back", () => {
	it("asks for its place by the key when the server has forgotten the session", () => {
		const { state, effects } = run(inside(), { type: "registered", resumed: false });

		expect(effects).toEqual([{ type: "request", request: { type: "join", room: "board", name: "Anna", key: "k1" } }]);
		expect(state.place).toMatchObject({ name: "here", stay: { again: true } });
	});

	it("goes on without a word when the session was kept", () => {
		expect(run(inside(), { type: "registered", resumed: true }).effects).toEqual([]);
	});

	it("keeps what was written, the mute and the hold in a room that was opened anew", () => {
		let state = after({ type: "event", event: chat(message(1, "p2", "hello")) }, inside());
		state = after({ type: "mute", muted: true }, state);
		state = after({ type: "hold", held: true }, state);
		state = after({ type: "registered", resumed: false }, state);
		const other = "a".repeat(32);

		const { state: back, effects } = run(state, {
			type: "joined",
			joined: joined({ room: { id: other, name: "board" }, participant: "p4", key: "k9", roster: roster([person("p4", "Anna")]), media: media({ room: other }) }),
		});

		expect(back.chat).toHaveLength(1);
		expect(back.news.at(-1)?.about).toBe("back");
		expect(effects.map((effect) => (effect.type === "request" && effect.request.type === "room" ? effect.request.do : null))).toEqual([
			{ act: "mute", participant: "p4", muted: true },
			{ act: "hold", held: true },
		]);
	});

	it("tries again after what may pass, and goes to the door after what may not", () => {
		const again = after({ type: "registered", resumed: false }, inside());
		const request = { type: "join", room: "board" } as const;

		expect(run(again, { type: "refused", request, code: "shutting_down" }).effects).toEqual([{ type: "later" }]);
		expect(run(again, { type: "retry" }).effects).toHaveLength(1);
		expect(after({ type: "refused", request, code: "locked" }, again).place).toMatchObject({ name: "door", failure: "locked" });
	});

	it("stays for a server that is restarted, and asks for its place when that is back", () => {
		const state = after({ type: "event", event: { type: "room_left", room: ROOM, why: "shutdown" } }, inside());
		expect(state.place).toMatchObject({ name: "here", stay: { again: true } });

		expect(run(state, { type: "registered", resumed: false }).effects).toMatchObject([{ request: { type: "join", key: "k1" } }]);
	});

	it("stands before the door again when nobody is signed in any more", () => {
		expect(after({ type: "abandon" }, inside()).place).toMatchObject({ name: "door", room: "board", wish: null });
		expect(after({ type: "abandon" })).toBe(NO_ROOM);
	});

	it("says why it is out", () => {
		const out = after({ type: "event", event: { type: "room_left", room: ROOM, why: "removed" } }, inside());

		expect(out.place).toMatchObject({ name: "left", why: "removed", wish: WISH });
		expect(out.roster).toBeNull();
	});

	it("takes a new token without a break", () => {
		const event: RoomEvent = { type: "room_media", room: ROOM, key: "k2", role: "listener", media: media({ token: "t2" }) };

		const state = after({ type: "event", event }, inside());

		expect(state.place).toMatchObject({ name: "here", media: { token: "t2" }, stay: { key: "k2", role: "listener" } });
	});
});

describe("the microphone", () => {
	it("is shut when a host says so, and who did it is known", () => {
		const state = happened({ seq: 1, by: "p2", type: "muted", participant: "p1", muted: true });

		expect(state).toMatchObject({ muted: true, mutedBy: "Bert" });
		expect(after({ type: "mute", muted: false }, state)).toMatchObject({ muted: false, mutedBy: null });
	});

	it("is shut with all others, unless one is a host", () => {
		const host = inside(roster([person("p1", "Anna", { role: "host" }), person("p2", "Bert")]));

		expect(happened({ seq: 1, by: "p2", type: "all_muted" }).muted).toBe(true);
		expect(happened({ seq: 1, by: "p2", type: "all_muted" }, host).muted).toBe(false);
	});

	it("is never opened by the server", () => {
		const muted = after({ type: "mute", muted: true }, inside());

		const state = after({ type: "event", event: { type: "roster", room: ROOM, roster: roster([person("p1", "Anna", { muted: false })]) } }, muted);

		expect(state.muted).toBe(true);
	});
});

describe("what is written", () => {
	it("comes once, in order, and counts until it was read", () => {
		let state = inside();
		for (const n of [2, 1, 2, 3]) state = after({ type: "event", event: chat(message(n, n === 3 ? "p1" : "p2", `${n}`)) }, state);

		expect(state.chat.map(({ n }) => n)).toEqual([1, 2, 3]);
		expect(unread(state)).toBe(2);
		expect(unread(after({ type: "read" }, state))).toBe(0);
	});

	it("is bounded", () => {
		let state = inside();
		for (let n = 1; n <= 600; n++) state = after({ type: "event", event: chat(message(n, "p2", "x")) }, state);

		expect(state.chat).toHaveLength(500);
		expect(state.news.length).toBeLessThanOrEqual(4);
	});

	it("loses marks that turn text round, and controls", () => {
		const state = after({ type: "event", event: chat(message(1, "p2", "a\u202eb\u0007c\nd", { name: "\u2066Bert\u0000" })) }, inside());

		expect(state.chat[0]).toMatchObject({ text: "abc\nd", name: "Bert" });
		expect(nameOf(inside(roster([person("p1", "Anna"), person("p2", "\u202e\u200f")])), "p2")).toBe("p2");
	});
});

describe("who is there", () => {
	it("keeps the names of those who have left", () => {
		const state = after({ type: "event", event: { type: "roster", room: ROOM, roster: roster([person("p1", "Anna")]) } }, inside());

		expect(nameOf(state, "p2")).toBe("Bert");
		expect(selfOf(state)?.name).toBe("Anna");
	});

	it("shows raised hands in their order", () => {
		const state = inside(roster([person("p1", "Anna"), person("p2", "Bert"), person("p3", "Carl", { hand: 2 }), person("p4", "Dora", { hand: 1 })]));

		expect(present(state).map(({ participant }) => participant)).toEqual(["p1", "p4", "p3", "p2"]);
	});

	it("remembers who spoke last, and does not jump between two who speak together", () => {
		let state = after({ type: "heard", participants: ["p2"] }, inside());
		state = after({ type: "heard", participants: ["p2", "p3"] }, state);
		expect(state.spoke).toEqual(["p3", "p2"]);

		expect(after({ type: "heard", participants: ["p2", "p3"] }, state).spoke).toBe(state.spoke);
	});

	it("follows the telephones that are invited", () => {
		const dial = (state: "calling" | "ended", cause?: string): RoomEvent => ({ type: "room_dial", room: ROOM, number: "7003", state, ...(cause === undefined ? {} : { cause: cause as never }) });
		let state = after({ type: "event", event: dial("calling") }, inside());
		state = after({ type: "event", event: dial("ended", "busy") }, state);

		expect(state.dials).toEqual([{ number: "7003", state: "ended", cause: "busy", mine: false }]);
	});

	it("rings back for who called a telephone, from its ringing to its answer", () => {
		const dial = (state: "calling" | "ringing" | "up" | "ended", number = "+49 30 123"): RoomInput => ({ type: "event", event: { type: "room_dial", room: ROOM, number, state } });
		const seen = (inputs: readonly RoomInput[]) => {
			const states: boolean[] = [];
			let state = inside();
			for (const input of inputs) {
				state = after(input, state);
				states.push(ringsBack(state));
			}
			return states;
		};
		const call: RoomInput = { type: "act", act: { act: "dial", number: "030 123" } };

		expect(seen([call, dial("calling"), dial("ringing"), dial("up")])).toEqual([false, false, true, false]);
		expect(seen([call, dial("calling"), dial("ringing"), dial("ended")])).toEqual([false, false, true, false]);
		// Another host called it.
		expect(seen([dial("calling"), dial("ringing")])).toEqual([false, false]);
		expect(seen([call, dial("calling", "7003"), dial("ringing", "7003")])).toEqual([false, false, false]);
		// It was refused, and somebody else calls the same one.
		const refused: RoomInput = { type: "refused", request: { type: "room", room: ROOM, do: { act: "dial", number: "030 123" } }, code: "wrong_state" };
		expect(seen([call, refused, dial("calling"), dial("ringing")])).toEqual([false, false, false, false]);
		// What becomes of it is told to nobody who is away, or no host any more.
		const rings = [call, dial("calling"), dial("ringing")];
		expect(seen([...rings, { type: "registered", resumed: false }, { type: "joined", joined: joined() }]).slice(3)).toEqual([false, false]);
		const host = roster([person("p1", "Anna", { role: "host" })]);
		expect(seen([...rings, { type: "event", event: { type: "roster", room: ROOM, roster: host } }]).at(-1)).toBe(true);
		const speaker = roster([person("p1", "Anna", { role: "speaker" })]);
		expect(seen([...rings, { type: "event", event: { type: "roster", room: ROOM, roster: speaker } }]).at(-1)).toBe(false);
	});

	it("leaves the events of another room alone", () => {
		const state = inside();

		expect(after({ type: "event", event: { type: "room_left", room: "0".repeat(32), why: "ended" } }, state)).toBe(state);
	});
});

const chat = (said: ReturnType<typeof message>): RoomEvent => ({ type: "chat", room: ROOM, message: said });
const act = (what: unknown): unknown => ({ type: "request", request: { type: "room", room: ROOM, do: what } });

function run(state: RoomState, input: RoomInput): { state: RoomState; effects: readonly RoomEffect[] } {
	return reduce(state, input);
}

function after(input: RoomInput, state: RoomState = NO_ROOM): RoomState {
	return reduce(state, input).state;
}

function asking(): RoomState {
	return after({ type: "join", wish: WISH, muted: false }, after({ type: "open", room: "board", key: null }));
}

function inside(people = joined().roster): RoomState {
	return after({ type: "joined", joined: joined({ roster: people }) }, asking());
}

function happened(event: Happening, state = inside()): RoomState {
	return after({ type: "event", event: { type: "room_event", room: ROOM, event } }, state);
}
