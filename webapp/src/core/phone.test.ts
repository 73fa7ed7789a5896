import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { incoming, ongoing } from "./call/state.ts";
import { type LinkFailure, MediaError } from "./media/api.ts";
import { Phone } from "./phone.ts";
import type { Media } from "./schema.ts";
import { ROOM, joined, person, roster } from "../room/testing.ts";
import { ApiError } from "./session/api.ts";
import { Session } from "./session/session.ts";
import { SettingsStore } from "./settings.ts";
import { FakeEngine, FakeSocket, MemoryBox, registeredAnswer } from "./testing.ts";

const CALL = "0123456789abcdef0123456789abcdef";
const BERT = { user: "bert", name: "Bert", number: "7002", state: "available" };

beforeEach(() => vi.useFakeTimers({ now: 1_800_000_000_000 }));
afterEach(() => vi.useRealTimers());

describe("signing in", () => {
	it("registers, connects the voice and lists the others", async () => {
		const { phone, engine, socket } = await signedIn();

		expect(socket().sent()[0]).toMatchObject({ type: "register", token: "token-1" });
		expect(engine.calls).toContain("connect");
		expect(phone.people.list.value.map((person) => person.user)).toEqual(["bert"]);
		expect(phone.people.self.value?.number).toBe("7001");
	});

	it("and out again ends calls and voice", async () => {
		const { phone, engine, socket } = await talking();

		phone.session.signOut();

		expect(engine.rooms.size).toBe(0);
		expect(engine.microphoneOpen).toBe(false);
		expect(socket().closed).toBe(true);
		expect(phone.people.list.value).toEqual([]);
		expect(vi.getTimerCount()).toBe(0);
	});

	it("with a token that the server refuses gets another one", async () => {
		const { phone, sockets, socket } = await signedIn();

		socket().drop(4003);
		await vi.advanceTimersByTimeAsync(0);
		socket().open();

		expect(sockets).toHaveLength(2);
		expect(socket().sent()[0]).toMatchObject({ type: "register", token: "token-2" });
		expect(phone.session.state.value.name).toBe("in");
	});
});

describe("a call", () => {
	it("opens the microphone before it is asked for", async () => {
		const { phone, engine, socket } = await signedIn();
		engine.fail.openMicrophone = new MediaError("mic_blocked");

		await phone.dial("bert");
		expect(phone.waitingDial.value).toMatchObject({ to: "bert", code: "mic_blocked" });
		expect(socket().last("call")).toBeUndefined();
		phone.dialSilently();

		expect(socket().last("call")).toMatchObject({ to: "bert" });
	});

	it("chosen twice while the browser asks for the microphone is made once", async () => {
		const { phone, socket } = await signedIn();

		await Promise.all([phone.dial("bert"), phone.dial("bert")]);

		expect(socket().sent().filter((message) => message["type"] === "call")).toHaveLength(1);
	});

	it("that is up joins its room, and leaves it at the end", async () => {
		const { phone, engine, socket } = await talking();
		expect([...engine.rooms.keys()]).toEqual([CALL]);
		expect(engine.microphoneOpen).toBe(true);

		socket().receive({ type: "ended", call: CALL, cause: "normal", reason: "", seq: 3 });

		expect(engine.rooms.size).toBe(0);
		expect(engine.microphoneOpen).toBe(false);
		expect(phone.history.value?.entries.value[0]).toMatchObject({ id: CALL, result: "answered" });
	});

	it("carries mute and hold to the engine and to the server", async () => {
		const { phone, engine, socket } = await talking();
		const key = ongoing(phone.calls.value)[0]?.key ?? "";

		phone.mute(key, true);
		phone.hold(key, true);

		expect(engine.rooms.get(CALL)).toMatchObject({ muted: true, held: true });
		expect(socket().last("mute")).toMatchObject({ call: CALL, muted: true });
		expect(socket().last("hold")).toMatchObject({ call: CALL, held: true });
	});

	it("sends digits and sounds them here", async () => {
		const { phone, engine, socket } = await talking();

		phone.digit(ongoing(phone.calls.value)[0]?.key ?? "", "#");

		expect(socket().last("dtmf")).toMatchObject({ call: CALL, digits: "#" });
		expect(engine.calls).toContain("digit #");
	});

	it("that is refused says why", async () => {
		const { phone, socket } = await signedIn();
		await phone.dial("7999");

		socket().receive({ type: "refused", id: socket().last("call")?.["id"], code: "no_route", reason: "" });
		await vi.advanceTimersByTimeAsync(0);

		expect(phone.calls.value.ended?.outcome).toEqual({ kind: "refused", code: "no_route" });
	});

	it("to somebody busy sounds busy for three seconds", async () => {
		const { phone, engine, socket } = await signedIn();
		await phone.dial("bert");
		socket().receive({ type: "ok", id: socket().last("call")?.["id"], call: CALL });
		await vi.advanceTimersByTimeAsync(0);

		socket().receive({ type: "ended", call: CALL, cause: "busy", reason: "", seq: 1 });
		expect(engine.tone).toBe("busy");
		await vi.advanceTimersByTimeAsync(3_000);

		expect(engine.tone).toBeNull();
	});

	it("that comes in rings, and stops ringing when it is answered", async () => {
		const { phone, engine, socket } = await signedIn();

		socket().receive({ type: "incoming", call: CALL, from: { id: "bert", name: "Bert", kind: "browser" }, seq: 1 });
		await vi.advanceTimersByTimeAsync(0);
		expect(engine.tone).toBe("ring");
		expect(socket().last("ringing")).toMatchObject({ call: CALL });
		phone.answer(CALL);

		expect(engine.tone).toBeNull();
		expect(socket().last("answer")).toMatchObject({ call: CALL });
	});

	it("rings as soon as the browser lets it", async () => {
		const { phone, engine, socket } = await signedIn({ awake: false });
		engine.fail.start = new MediaError("audio_blocked");
		socket().receive({ type: "incoming", call: CALL, from: { id: "bert", name: "Bert", kind: "browser" }, seq: 1 });
		await vi.advanceTimersByTimeAsync(0);
		expect(phone.voice.audio.value).toBe("blocked");
		expect(engine.tone).toBeNull();

		delete engine.fail.start;
		await phone.voice.wake();

		expect(engine.tone).toBe("ring");
	});
});

describe("losing the line", () => {
	it("keeps the call and comes back with a resume", async () => {
		const { phone, engine, socket } = await talking();

		socket().drop(1006);
		await vi.advanceTimersByTimeAsync(1_000);
		socket().open();
		expect(socket().sent()[0]).toMatchObject({ type: "register", resume: { session: "s", key: "k", seq: 2 } });
		socket().receive(registeredAnswer(socket().sent()[0]?.["id"], { resumed: true, calls: [VIEW] }));

		expect(ongoing(phone.calls.value)).toHaveLength(1);
		expect(engine.rooms.size).toBe(1);
	});

	it("for longer than the server's grace ends the call here, too", async () => {
		const { phone, engine, socket } = await talking();

		socket().drop(1006);
		await vi.advanceTimersByTimeAsync(12_900);
		expect(engine.rooms.size).toBe(1);
		await vi.advanceTimersByTimeAsync(200);

		expect(engine.rooms.size).toBe(0);
		expect(phone.calls.value.ended?.outcome).toEqual({ kind: "cause", cause: "lost" });
	});

	it("and hearing nothing of a call after the resume gives it up", async () => {
		const { phone, socket } = await talking();
		socket().drop(1006);
		await vi.advanceTimersByTimeAsync(1_000);
		socket().open();
		socket().receive(registeredAnswer(socket().sent()[0]?.["id"], { resumed: true }));
		expect(ongoing(phone.calls.value)).toHaveLength(1);

		await vi.advanceTimersByTimeAsync(2_000);

		expect(phone.calls.value.ended?.outcome).toEqual({ kind: "cause", cause: "lost" });
	});

	it("by a reload goes on in the next page", async () => {
		const { phone, tab, box } = await talking();
		phone.leavePage();

		const next = bench({ tab, box });
		await next.phone.session.restore();
		next.socket().open();
		expect(next.socket().sent()[0]).toMatchObject({ resume: { session: "s", key: "k", seq: 2 } });
		next.socket().receive(registeredAnswer(1, { resumed: true, calls: [VIEW] }));

		expect([...next.engine.rooms.keys()]).toEqual([CALL]);
	});

	it("to another page stops until this one is wanted again", async () => {
		const { phone, sockets, socket } = await signedIn();

		socket().drop(4009);
		await vi.advanceTimersByTimeAsync(60_000);
		expect(sockets).toHaveLength(1);
		phone.takeOver();

		expect(sockets).toHaveLength(2);
	});
});

describe("the voice link", () => {
	it.each<LinkFailure>(["unreachable", "lost", "going_away"])("that failed as %s is tried again by itself", async (reason) => {
		const { engine } = await signedIn();
		engine.calls.length = 0;

		engine.enter({ name: "failed", reason, detail: "" });
		await vi.advanceTimersByTimeAsync(15_000);

		expect(engine.calls).toEqual(["connect"]);
	});

	it("that the browser cannot do is left alone", async () => {
		const { engine } = await signedIn();
		engine.calls.length = 0;

		engine.enter({ name: "failed", reason: "unsupported", detail: "" });
		await vi.advanceTimersByTimeAsync(60_000);

		expect(engine.calls).toEqual([]);
	});

	it("whose address nobody tells is asked for again", async () => {
		let there = false;
		const { engine } = await signedIn({
			relay: async (token) => {
				if (!there) throw new ApiError("unreachable");
				return { url: "https://relay/moq", hashes: [], token };
			},
		});
		expect(engine.calls).not.toContain("connect");

		there = true;
		await vi.advanceTimersByTimeAsync(15_000);

		expect(engine.calls).toContain("connect");
	});
});

it("a voice that the relay refuses is said in words", async () => {
	const { phone, engine } = await talking();

	engine.emit("publishing", { room: CALL, state: "refused", detail: "unauthorized" });
	engine.emit("peer", { room: CALL, participant: "p2", state: "pending", detail: "" });
	expect(phone.pending.value).toEqual([`${CALL}/p2`]);
	engine.emit("peer", { room: CALL, participant: "p2", state: "live", detail: "" });

	expect(phone.pending.value).toEqual([]);
	expect(phone.notices.value).toMatchObject([{ about: "voice", code: "unsent" }]);
});

it("a telephone that we call into a room is heard to ring until it answers", async () => {
	const { phone, engine, socket } = await signedIn();
	phone.room.open("board");
	phone.room.join({ room: "board", name: "Anna", pin: "", listen: false }, false);
	const host = joined({ role: "host", roster: roster([person("p1", "Anna", { role: "host" })]) });
	socket().receive({ type: "ok", id: socket().last("join")?.["id"], ...host });
	await vi.advanceTimersByTimeAsync(0);
	const dial = async (state: string, seq: number) => {
		socket().receive({ type: "room_dial", room: ROOM, number: "7003", state, seq });
		await vi.advanceTimersByTimeAsync(0);
	};
	phone.room.act({ act: "dial", number: "7003" });
	await dial("calling", 1);
	expect(engine.tone).toBeNull();

	await dial("ringing", 2);
	expect(engine.tone).toBe("ringback");
	await dial("up", 3);

	expect(engine.tone).toBeNull();
	expect([...engine.rooms.keys()]).toEqual([ROOM]);
});

it("sound processing that is switched in a call counts at once", async () => {
	const { phone, engine } = await talking();
	engine.calls.length = 0;

	await phone.changeSettings({ noiseSuppression: false });
	await phone.changeSettings({ theme: "dark" });

	expect(engine.calls.filter((call) => call === "openMicrophone")).toHaveLength(1);
});

it("presence that is refused goes back", async () => {
	const { phone, socket } = await signedIn();

	const done = phone.setPresence("busy");
	expect(phone.own.value).toBe("busy");
	socket().receive({ type: "refused", id: socket().last("presence")?.["id"], code: "rate_limited", reason: "" });
	await done;

	expect(phone.own.value).toBe("available");
	expect(phone.notices.value).toMatchObject([{ about: "request", code: "rate_limited" }]);
});

it("keeps three notices at most, and each once", async () => {
	const { phone, engine } = await signedIn();

	for (const code of ["mic_none", "mic_none", "codec_failed", "audio_failed", "mic_failed"] as const) engine.emit("error", new MediaError(code));

	expect(phone.notices.value.map((notice) => notice.code)).toEqual(["codec_failed", "audio_failed", "mic_failed"]);
});

it("two calls of the same tab's history are told apart from missed ones", async () => {
	const { phone, socket } = await signedIn();

	socket().receive({ type: "incoming", call: CALL, from: { id: "bert", name: "Bert", kind: "browser" }, seq: 1 });
	socket().receive({ type: "ended", call: CALL, cause: "cancelled", reason: "", seq: 2 });

	expect(incoming(phone.calls.value)).toEqual([]);
	expect(phone.history.value?.entries.value).toMatchObject([{ result: "missed", seen: false }]);
});

const MEDIA: Media = {
	room: CALL,
	participant: "p1",
	namespace: ["room", CALL, "p1"],
	token: "t",
	peers: [{ participant: "p2", namespace: ["room", CALL, "p2"], name: "Bert", kind: "browser" }],
};

const VIEW = {
	call: CALL,
	direction: "out",
	state: "up",
	peer: { id: "bert", name: "Bert", kind: "browser" },
	held_by: [],
	muted: [],
	up_ms: 5_000,
	media: MEDIA,
};

interface Options {
	readonly tab?: MemoryBox;
	readonly box?: MemoryBox;
	readonly relay?: NonNullable<ConstructorParameters<typeof Phone>[0]["relay"]>;
	readonly awake?: boolean;
}

function bench({ tab = new MemoryBox(), box = new MemoryBox(), relay }: Options = {}) {
	const sockets: FakeSocket[] = [];
	let tokens = 0;
	const session = new Session({
		box,
		guest: async (name) => {
			tokens += 1;
			return { token: `token-${tokens}`, user: { id: name.toLowerCase(), name, number: "7001" }, expires_in: 43_200 };
		},
	});
	const engine = new FakeEngine();
	const phone = new Phone({
		session,
		settings: new SettingsStore(box),
		engine,
		signalUrl: "ws://phone/api/v1/signal",
		box,
		tab,
		relay: relay ?? (async (token) => ({ url: "https://relay/moq", hashes: [], token })),
		openSocket: (_url, protocol) => {
			const socket = new FakeSocket(protocol);
			sockets.push(socket);
			return socket;
		},
	});
	const socket = (): FakeSocket => {
		const last = sockets.at(-1);
		if (last === undefined) throw new Error("no socket was opened");
		return last;
	};
	return { phone, engine, sockets, socket, tab, box };
}

async function signedIn(options: Options = {}) {
	const made = bench(options);
	await made.phone.session.signIn("Anna");
	if (options.awake !== false) await made.phone.voice.wake();
	made.socket().open();
	const presence = [BERT, { user: "anna", name: "Anna", number: "7001", state: "available" }];
	made.socket().receive(registeredAnswer(made.socket().sent()[0]?.["id"], { presence }));
	await vi.advanceTimersByTimeAsync(0);
	return made;
}

async function talking() {
	const made = await signedIn();
	await made.phone.dial("bert");
	made.socket().receive({ type: "ok", id: made.socket().last("call")?.["id"], call: CALL });
	await vi.advanceTimersByTimeAsync(0);
	made.socket().receive({ type: "ringing", call: CALL, seq: 1 });
	made.socket().receive({ type: "up", call: CALL, media: MEDIA, seq: 2 });
	await vi.advanceTimersByTimeAsync(0);
	return made;
}
