import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Event, Registered } from "../schema.ts";
import { FakeSocket, registeredAnswer } from "../testing.ts";
import { Line, type LineState, type RequestError, SUBPROTOCOL } from "./line.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("registering", () => {
	it("comes first, with the token, under the protocol's name", () => {
		const { line, socket } = bench();

		line.start("token-1");
		socket().open();

		expect(socket().protocol).toBe(SUBPROTOCOL);
		expect(socket().sent()).toEqual([{ type: "register", id: 1, token: "token-1" }]);
		expect(line.state.name).toBe("connecting");
	});

	it("makes the line ready", () => {
		const { line, states, registered } = ready();

		expect(line.state).toEqual({ name: "ready" });
		expect(states).toEqual(["connecting", "ready"]);
		expect(registered).toHaveLength(1);
	});

	it("refused for its token stops the line", () => {
		const { line, socket } = bench();
		line.start("token-1");
		socket().open();

		socket().receive({ type: "refused", id: 1, code: "expired", reason: "" });

		expect(line.state).toEqual({ name: "stopped", reason: "expired" });
		expect(vi.getTimerCount()).toBe(0);
	});

	it("refused for a fault is tried again", () => {
		const { line, socket, sockets } = bench();
		line.start("token-1");
		socket().open();

		socket().receive({ type: "refused", id: 1, code: "internal", reason: "" });
		vi.advanceTimersByTime(1_000);

		expect(line.state.name).toBe("connecting");
		expect(sockets).toHaveLength(2);
	});

	it("without an answer for 8 s is tried again", () => {
		const { line, socket, sockets } = bench();
		line.start("token-1");
		socket().open();

		vi.advanceTimersByTime(8_000);
		expect(line.state.name).toBe("waiting");
		vi.advanceTimersByTime(1_000);

		expect(sockets).toHaveLength(2);
	});
});

describe("a request", () => {
	it("gets the answer of its own id", async () => {
		const { line, socket } = ready();

		const first = line.request({ type: "call", to: "bert" });
		const second = line.request({ type: "hangup", call: "x" });
		socket().receive({ type: "ok", id: 3 });
		socket().receive({ type: "ok", id: 2, call: "c1" });

		await expect(first).resolves.toEqual({ call: "c1" });
		await expect(second).resolves.toEqual({});
		expect(socket().sent().slice(1)).toEqual([
			{ type: "call", id: 2, to: "bert" },
			{ type: "hangup", id: 3, call: "x" },
		]);
	});

	it("is refused with the code", async () => {
		const { line, socket } = ready();

		const answer = line.request({ type: "call", to: "nobody" });
		socket().receive({ type: "refused", id: 2, code: "not_found", reason: "nobody has it" });

		await expect(answer).rejects.toMatchObject({ code: "not_found", reason: "nobody has it" });
	});

	it("without an answer times out after 10 s", async () => {
		const { line } = ready();

		const answer = outcome(line.request({ type: "call", to: "bert" }));
		vi.advanceTimersByTime(10_000);

		expect(await answer).toBe("timeout");
	});

	it("beyond 64 unanswered ones is turned away here", async () => {
		const { line } = ready();
		const answers = Array.from({ length: 65 }, () => outcome(line.request({ type: "call", to: "bert" })));

		expect(await answers[64]).toBe("queue_full");

		line.stop();
		expect(await Promise.all(answers.slice(0, 64))).toEqual(Array(64).fill("lost"));
	});

	it("made by whoever hears that the line is ready goes out once", () => {
		const made = bench({ onReady: (line) => void outcome(line.request({ type: "presence", state: "busy" })) });
		made.line.start("token-1");
		made.socket().open();

		made.socket().receive(REGISTERED(1));

		expect(made.socket().sent().map((message) => message["type"])).toEqual(["register", "presence"]);
	});

	it("waits for the socket when there is none", async () => {
		const { line, socket } = bench();
		line.start("token-1");
		const answer = line.request({ type: "presence", state: "away" });

		socket().open();
		socket().receive(REGISTERED(2));
		expect(socket().sent().at(-1)).toEqual({ type: "presence", id: 1, state: "away" });
		socket().receive({ type: "ok", id: 1 });

		await expect(answer).resolves.toEqual({});
	});
});

describe("life", () => {
	it("answers pings", () => {
		const { socket } = ready();

		socket().receive({ type: "ping" });

		expect(socket().sent().at(-1)).toEqual({ type: "pong" });
	});

	it("takes 35 s of silence for death, and pings for life", () => {
		const { line, socket } = ready();

		vi.advanceTimersByTime(34_000);
		socket().receive({ type: "ping" });
		vi.advanceTimersByTime(34_000);
		expect(line.state.name).toBe("ready");
		vi.advanceTimersByTime(1_000);

		expect(line.state.name).toBe("waiting");
		expect(socket().closed).toBe(true);
	});

	it("asks every two seconds while somebody is in a room", () => {
		const { line, sockets } = bench({ hurried: () => true });
		line.start("token-1");
		const pauses: number[] = [];
		for (let n = 0; n < 6; n += 1) {
			sockets.at(-1)?.drop(1006);
			const state = line.state as Extract<LineState, { name: "waiting" }>;
			pauses.push(state.retryAt - Date.now());
			vi.advanceTimersByTime(pauses.at(-1) ?? 0);
		}

		expect(pauses).toEqual([250, 500, 1000, 2000, 2000, 2000]);
	});

	it("backs off from 250 ms to 10 s", () => {
		const { line, sockets } = bench();
		line.start("token-1");
		const pauses: number[] = [];
		for (let n = 0; n < 8; n += 1) {
			sockets.at(-1)?.drop(1006);
			const state = line.state as Extract<LineState, { name: "waiting" }>;
			pauses.push(state.retryAt - Date.now());
			vi.advanceTimersByTime(pauses.at(-1) ?? 0);
		}

		expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
	});

	it("tries at once when it is told to", () => {
		const { line, sockets, socket } = ready();
		socket().drop(1006);

		line.retryNow();

		expect(sockets).toHaveLength(2);
		expect(vi.getTimerCount()).toBe(1);
	});

	it("ignores what is no message", () => {
		const { line, socket } = ready();

		socket().raw("no json");
		socket().raw("[1]");
		socket().raw('{"type":"something_new","seq":1}');

		expect(line.state.name).toBe("ready");
	});
});

describe("resuming", () => {
	it("names session, key and the last event", () => {
		const { socket } = ready();
		socket().receive({ type: "ringing", call: "c", seq: 1 });
		socket().receive({ type: "ringing", call: "c", seq: 2 });

		socket().drop(1006);
		vi.advanceTimersByTime(250);
		socket().open();

		expect(socket().sent()[0]).toMatchObject({ resume: { session: "s", key: "k", seq: 2 } });
	});

	it("passes replayed events on once", () => {
		const { socket, events } = ready();
		socket().receive({ type: "ringing", call: "c", seq: 1 });
		socket().drop(1006);
		vi.advanceTimersByTime(250);
		socket().open();
		socket().receive(REGISTERED(2, true));

		socket().receive({ type: "ringing", call: "c", seq: 1 });
		socket().receive({ type: "ended", call: "c", cause: "normal", reason: "", seq: 2 });

		expect(events.map((event) => event.type)).toEqual(["ringing", "ended"]);
	});

	it("asks again what had no answer, under the same id", async () => {
		const { line, socket } = ready();
		const answer = line.request({ type: "hangup", call: "c" });
		socket().drop(1006);
		vi.advanceTimersByTime(250);
		socket().open();

		socket().receive(REGISTERED(3, true));
		expect(socket().sent().at(-1)).toEqual({ type: "hangup", id: 2, call: "c" });
		socket().receive({ type: "ok", id: 2 });

		await expect(answer).resolves.toEqual({});
	});

	it("that fails loses what had no answer", async () => {
		const { line, socket } = ready();
		const answer = outcome(line.request({ type: "hangup", call: "c" }));
		socket().drop(1006);
		vi.advanceTimersByTime(250);
		socket().open();

		socket().receive(REGISTERED(3, false));

		expect(await answer).toBe("lost");
		expect(socket().sent()).toHaveLength(1);
	});

	it("begins to count anew in a new session", () => {
		const { socket, events } = ready();
		socket().receive({ type: "ringing", call: "a", seq: 7 });
		socket().drop(1006);
		vi.advanceTimersByTime(250);
		socket().open();
		socket().receive(REGISTERED(2, false));

		socket().receive({ type: "ringing", call: "b", seq: 1 });

		expect(events).toHaveLength(2);
	});

	it("is not tried when another page took the session", () => {
		const { line, socket } = ready();

		socket().drop(4009);

		expect(line.state).toEqual({ name: "stopped", reason: "replaced" });
		expect(line.resume).toBeNull();
	});

	it("goes on across a reload with what was kept", () => {
		const { line, socket } = bench();

		line.start("token-1", { session: "old", key: "kept", seq: 9 });
		socket().open();

		expect(socket().sent()[0]).toMatchObject({ resume: { session: "old", key: "kept", seq: 9 } });
	});
});

describe("closing", () => {
	it("for the token stops, so that somebody gets another one", () => {
		const { line, socket } = ready();

		socket().drop(4003);
		expect(line.state).toEqual({ name: "stopped", reason: "unauthorized" });
		line.start("token-2");
		socket().open();

		expect(socket().sent()[0]).toMatchObject({ token: "token-2", resume: { session: "s" } });
	});

	it("for too many messages waits longer", () => {
		const { line, socket } = ready();

		socket().drop(4008);

		const state = line.state as Extract<LineState, { name: "waiting" }>;
		expect(state.retryAt - Date.now()).toBe(5_000);
	});

	it("by us leaves no timer behind", () => {
		const { line, socket } = ready();

		line.stop();

		expect(line.state.name).toBe("idle");
		expect(socket().closed).toBe(true);
		expect(vi.getTimerCount()).toBe(0);
	});
});

const REGISTERED = (id: number, resumed = false) => registeredAnswer(id, { resumed });

function bench({ onReady, hurried }: { onReady?: (line: Line) => void; hurried?: () => boolean } = {}) {
	const sockets: FakeSocket[] = [];
	const states: string[] = [];
	const events: Event[] = [];
	const registered: Registered[] = [];
	const line = new Line({
		url: "ws://phone/api/v1/signal",
		random: () => 0.5,
		...(hurried === undefined ? {} : { hurried }),
		open: (_url, protocol) => {
			const socket = new FakeSocket(protocol);
			sockets.push(socket);
			return socket;
		},
		handlers: {
			state: (state) => states.push(state.name),
			registered: (message) => {
				registered.push(message);
				onReady?.(line);
			},
			event: (event) => events.push(event),
			error: () => {},
		},
	});
	const socket = (): FakeSocket => {
		const last = sockets.at(-1);
		if (last === undefined) throw new Error("no socket was opened");
		return last;
	};
	return { line, sockets, socket, states, events, registered };
}

function ready() {
	const made = bench();
	made.line.start("token-1");
	made.socket().open();
	made.socket().receive(REGISTERED(1));
	return made;
}

function outcome(answer: Promise<unknown>): Promise<string> {
	return answer.then(
		() => "ok",
		(error: RequestError) => error.code,
	);
}
