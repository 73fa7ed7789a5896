import { describe, expect, it } from "vitest";
import type { CallView, Media, Party } from "../schema.ts";
import { reduce } from "./reduce.ts";
import { type CallEvent, type CallsEvent, type CallsState, type Effect, NO_CALLS, incoming, ongoing } from "./state.ts";
import { wanted } from "./wanted.ts";

const ID = "0123456789abcdef0123456789abcdef";
const OTHER = "fedcba9876543210fedcba9876543210";
const BERT: Party = { id: "bert", name: "Bert", number: "7002", kind: "browser" };
const CARLA: Party = { id: "carla", name: "Carla", number: "7003", kind: "browser" };
const PHONE: Party = { id: "+4930123", name: "", number: "+4930123", kind: "phone" };
const NOW = 1_800_000_000_000;

describe("an outgoing call", () => {
	it("is asked for, named, rings, and is up with a room to join", () => {
		const phone = new Bench();

		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		expect(phone.requests()).toEqual([{ type: "call", to: "bert" }]);
		expect(phone.front()?.phase.name).toBe("dialing");

		phone.do({ type: "called", key: "out-1", call: ID });
		expect(phone.front()?.phase.name).toBe("calling");
		phone.hear({ type: "ringing", call: ID });
		expect(wanted(phone.state).tone).toBe("ringback");
		phone.hear({ type: "up", call: ID, media: media(ID) });

		expect(phone.front()?.phase).toEqual({ name: "up", media: media(ID), since: NOW });
		expect(wanted(phone.state)).toEqual({
			tone: null,
			rooms: [{ media: media(ID), muted: false, held: false }],
			microphone: true,
			awake: true,
		});
	});

	it("ends with the server's cause and is recorded once, with its duration", () => {
		const phone = talking();

		phone.hear({ type: "ended", call: ID, cause: "normal", reason: "" }, NOW + 61_000);
		phone.hear({ type: "ended", call: ID, cause: "failed", reason: "" }, NOW + 62_000);

		expect(phone.records()).toHaveLength(1);
		expect(phone.records()[0]).toMatchObject({ id: ID, result: "answered", durationMs: 61_000 });
		expect(phone.state.ended).toMatchObject({ outcome: { kind: "cause", cause: "normal" }, durationMs: 61_000 });
		expect(wanted(phone.state).rooms).toEqual([]);
	});

	it("that is refused shows the code", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "9999", peer: PHONE, at: NOW });

		phone.do({ type: "refused", key: "out-1", request: { type: "call", to: "9999" }, code: "not_found", at: NOW });

		expect(phone.state.calls).toEqual([]);
		expect(phone.state.ended?.outcome).toEqual({ kind: "refused", code: "not_found" });
		expect(phone.records()[0]?.result).toBe("failed");
	});

	it("given up before it has a name is cancelled as soon as it has one", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		phone.do({ type: "hangup", key: "out-1", at: NOW });
		expect(ongoing(phone.state)).toEqual([]);
		phone.requests();

		phone.do({ type: "called", key: "out-1", call: ID });

		expect(phone.requests()).toEqual([{ type: "cancel", call: ID }]);
		expect(phone.state.calls).toEqual([]);
		expect(phone.records().map((record) => record.result)).toEqual(["cancelled"]);
	});

	it("hung up before the answer is cancelled, after it hung up", () => {
		const ringing = new Bench();
		ringing.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		ringing.do({ type: "called", key: "out-1", call: ID });
		ringing.requests();

		ringing.do({ type: "hangup", key: "out-1", at: NOW });
		const up = talking();
		up.do({ type: "hangup", key: "out-1", at: NOW + 5_000 });

		expect(ringing.requests()).toEqual([{ type: "cancel", call: ID }]);
		expect(up.requests()).toEqual([{ type: "hangup", call: ID }]);
	});

	it("ignores what comes about it after its end", () => {
		const phone = talking();
		phone.do({ type: "hangup", key: "out-1", at: NOW });

		phone.hear({ type: "up", call: ID, media: media(ID) });
		phone.do({ type: "snapshot", calls: [view({ call: ID })], resumed: true, at: NOW });

		expect(phone.state.calls).toEqual([]);
	});

	it("plays early sound without an answer, and digits reach it", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "600", peer: PHONE, at: NOW });
		phone.do({ type: "called", key: "out-1", call: ID });

		phone.hear({ type: "early", call: ID, media: media(ID) });
		phone.requests();
		phone.do({ type: "digit", key: "out-1", digit: "5" });

		expect(wanted(phone.state).rooms).toHaveLength(1);
		expect(phone.requests()).toEqual([{ type: "dtmf", call: ID, digits: "5" }]);
		expect(phone.effects.some((effect) => effect.type === "digit" && effect.digit === "5")).toBe(true);
	});

	it("to a bare number takes the name that the answer brings", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "7002", peer: { id: "7002", name: "7002", number: "7002", kind: "phone" }, at: NOW });
		phone.do({ type: "called", key: "out-1", call: ID });

		phone.hear({ type: "up", call: ID, media: media(ID) });

		expect(phone.front()?.peer).toMatchObject({ name: "Bert", kind: "browser", number: "7002" });
	});

	it("that is busy sounds so, until it is quiet again", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		phone.do({ type: "called", key: "out-1", call: ID });

		phone.hear({ type: "ended", call: ID, cause: "busy", reason: "" });
		expect(wanted(phone.state).tone).toBe("busy");
		phone.do({ type: "quiet" });

		expect(wanted(phone.state).tone).toBeNull();
		expect(phone.state.ended).not.toBeNull();
	});
});

describe("an incoming call", () => {
	it("rings, says so, and is answered", () => {
		const phone = ringing();
		expect(phone.requests()).toEqual([{ type: "ringing", call: ID }]);
		expect(wanted(phone.state)).toMatchObject({ tone: "ring", microphone: false });

		phone.do({ type: "answer", key: ID });
		phone.do({ type: "answer", key: ID });

		expect(phone.requests()).toEqual([{ type: "answer", call: ID }]);
		expect(wanted(phone.state)).toMatchObject({ tone: null, microphone: true });
	});

	it("that nobody takes is missed and leaves no screen", () => {
		const phone = ringing();

		phone.hear({ type: "ended", call: ID, cause: "no_answer", reason: "" });

		expect(phone.records()[0]?.result).toBe("missed");
		expect(phone.state.ended).toBeNull();
	});

	it("that another device takes is not missed", () => {
		const phone = ringing();

		phone.hear({ type: "ended", call: ID, cause: "answered_elsewhere", reason: "" });

		expect(phone.records()[0]?.result).toBe("elsewhere");
	});

	it("is declined", () => {
		const phone = ringing();
		phone.requests();

		phone.do({ type: "hangup", key: ID, at: NOW });

		expect(phone.requests()).toEqual([{ type: "reject", call: ID }]);
		expect(phone.records()[0]?.result).toBe("declined");
	});

	it("is not doubled when it is replayed", () => {
		const phone = ringing();

		phone.hear({ type: "incoming", call: ID, from: BERT });

		expect(incoming(phone.state)).toHaveLength(1);
	});
});

describe("a second call", () => {
	it("waits with its own tone; answering it holds the first", () => {
		const phone = talking();

		phone.hear({ type: "incoming", call: OTHER, from: PHONE });
		expect(wanted(phone.state).tone).toBe("waiting");
		phone.requests();
		phone.do({ type: "answer", key: OTHER });

		expect(phone.requests()).toEqual([
			{ type: "hold", call: ID, held: true },
			{ type: "answer", call: OTHER },
		]);
		expect(ongoing(phone.state).map((call) => call.id)).toEqual([OTHER, ID]);
	});

	it("swaps with the first", () => {
		const phone = talking();
		phone.hear({ type: "incoming", call: OTHER, from: PHONE });
		phone.do({ type: "answer", key: OTHER });
		phone.hear({ type: "up", call: OTHER, media: media(OTHER) });
		phone.requests();

		phone.do({ type: "hold", key: "out-1", held: false });

		expect(phone.requests()).toEqual([
			{ type: "hold", call: OTHER, held: true },
			{ type: "hold", call: ID, held: false },
		]);
		expect(phone.front()?.id).toBe(ID);
		expect(wanted(phone.state).rooms.map(({ media, held }) => [media.room, held])).toEqual([
			[ID, false],
			[OTHER, true],
		]);
	});

	it("dialled while another only rings gives that one up", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		phone.do({ type: "called", key: "out-1", call: ID });
		phone.requests();

		phone.do({ type: "dial", to: "echo", peer: { id: "echo", name: "echo", kind: "service" }, at: NOW });

		expect(phone.requests()).toEqual([
			{ type: "cancel", call: ID },
			{ type: "call", to: "echo" },
		]);
	});

	it("over, the held one stays in front without a farewell screen", () => {
		const phone = talking();
		phone.hear({ type: "incoming", call: OTHER, from: PHONE });
		phone.do({ type: "answer", key: OTHER });
		phone.hear({ type: "up", call: OTHER, media: media(OTHER) });

		phone.hear({ type: "ended", call: OTHER, cause: "normal", reason: "" });

		expect(phone.state.ended).toBeNull();
		expect(phone.front()).toMatchObject({ id: ID, held: true });
	});
});

describe("hold and mute", () => {
	it("show at once and are taken back when refused", () => {
		const phone = talking();

		phone.do({ type: "hold", key: "out-1", held: true });
		expect(phone.front()?.held).toBe(true);
		const request = { type: "hold", call: ID, held: true } as const;
		phone.do({ type: "refused", key: "out-1", request, code: "wrong_state", at: NOW });

		expect(phone.front()?.held).toBe(false);
		expect(phone.effects).toContainEqual({ type: "say", code: "wrong_state" });
	});

	it("of the other side are kept apart from one's own", () => {
		const phone = talking();

		phone.hear({ type: "held", call: ID, held: true, by: "p2" });
		phone.hear({ type: "muted", call: ID, participant: "p2", muted: true });
		expect(phone.front()).toMatchObject({ held: false, heldBy: ["p2"], muted: false, mutedBy: ["p2"] });
		phone.hear({ type: "held", call: ID, held: false, by: "p2" });

		expect(phone.front()).toMatchObject({ heldBy: [], mutedBy: ["p2"] });
	});

	it("muted before the answer is told after it", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		phone.do({ type: "called", key: "out-1", call: ID });
		phone.requests();

		phone.do({ type: "mute", key: "out-1", muted: true });
		expect(phone.requests()).toEqual([]);
		phone.hear({ type: "up", call: ID, media: media(ID) });

		expect(phone.requests()).toEqual([{ type: "mute", call: ID, muted: true }]);
		expect(wanted(phone.state).rooms[0]?.muted).toBe(true);
	});
});

describe("a snapshot", () => {
	it("brings back a call that was up, with its clock", () => {
		const phone = new Bench();

		phone.do({ type: "snapshot", calls: [view({ call: ID, up_ms: 90_000, held_by: ["p1"] })], resumed: true, at: NOW });

		expect(phone.front()).toMatchObject({ id: ID, held: true, phase: { name: "up", since: NOW - 90_000 } });
		expect(wanted(phone.state).rooms).toHaveLength(1);
	});

	it("with a fresher token for the same room does not make it join again", () => {
		const phone = talking();
		const before = wanted(phone.state).rooms[0]?.media;
		const fresher = { ...media(ID), token: "another" };

		phone.do({ type: "snapshot", calls: [view({ call: ID, media: fresher })], resumed: true, at: NOW });
		phone.hear({ type: "up", call: ID, media: fresher });

		expect(wanted(phone.state).rooms[0]?.media).toBe(before);
	});

	it("makes a call ring that came in the meantime", () => {
		const phone = new Bench();
		const { media: _, ...rest } = view({ call: ID, direction: "in", state: "calling" });

		phone.do({ type: "snapshot", calls: [rest], resumed: true, at: NOW });

		expect(incoming(phone.state)).toHaveLength(1);
		expect(phone.requests()).toEqual([{ type: "ringing", call: ID }]);
	});

	it("of a new session ends what it does not list", () => {
		const phone = talking();

		phone.do({ type: "snapshot", calls: [], resumed: false, at: NOW });

		expect(phone.state.calls).toEqual([]);
		expect(phone.state.ended?.outcome).toEqual({ kind: "cause", cause: "lost" });
	});

	it("of a resumed session waits for the events that say why", () => {
		const phone = talking();

		phone.do({ type: "snapshot", calls: [], resumed: true, at: NOW });
		expect(phone.state.calls).toHaveLength(1);
		phone.hear({ type: "ended", call: ID, cause: "too_long", reason: "" });

		expect(phone.state.ended?.outcome).toEqual({ kind: "cause", cause: "too_long" });
	});

	it("is not undone by older events that are replayed", () => {
		const phone = new Bench();
		phone.do({ type: "snapshot", calls: [view({ call: ID, direction: "out" })], resumed: true, at: NOW });

		phone.hear({ type: "ringing", call: ID });
		phone.hear({ type: "early", call: ID, media: media(ID) });

		expect(phone.front()?.phase.name).toBe("up");
	});

	it("and the late answer to a call make one call", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });

		phone.do({ type: "snapshot", calls: [view({ call: ID, state: "ringing" })], resumed: true, at: NOW });
		phone.do({ type: "called", key: "out-1", call: ID });

		expect(ongoing(phone.state)).toHaveLength(1);
	});

	it("settled, calls that nobody knows are lost", () => {
		const phone = talking();

		phone.do({ type: "settled", alive: [], at: NOW });

		expect(phone.state.ended?.outcome).toEqual({ kind: "cause", cause: "lost" });
	});
});

describe("bounds", () => {
	it("keeps 32 closed calls and 64 digits", () => {
		const phone = talking();
		for (let n = 0; n < 100; n += 1) phone.do({ type: "digit", key: "out-1", digit: String(n % 10) });
		expect(phone.front()?.digits).toHaveLength(64);

		for (let n = 0; n < 50; n += 1) {
			const call = n.toString(16).padStart(32, "0");
			phone.hear({ type: "incoming", call, from: BERT });
			phone.hear({ type: "ended", call, cause: "cancelled", reason: "" });
		}

		expect(phone.state.closed).toHaveLength(32);
	});

	it("keeps the other side's digits apart from one's own", () => {
		const phone = talking();

		phone.hear({ type: "dtmf", call: ID, participant: "p1", digit: "1" });
		phone.hear({ type: "dtmf", call: ID, participant: "p2", digit: "5" });
		phone.hear({ type: "dtmf", call: ID, participant: "p2", digit: "#" });

		expect(phone.front()).toMatchObject({ digits: "", digitsHeard: "5#" });
	});

	it("sends a whole string with its pauses, in pieces that the server takes", () => {
		const phone = talking();
		phone.requests();

		phone.do({ type: "digits", key: "out-1", digits: `1,, (23)p${"4".repeat(30)}#` });
		phone.do({ type: "digits", key: "out-1", digits: "12x" });
		phone.do({ type: "digits", key: "out-1", digits: ",," });

		const sent = phone.requests().map((request) => (request.type === "dtmf" ? request.digits : request.type));
		expect(sent).toEqual([`1ww23w${"4".repeat(26)}`, "4444#"]);
	});

	it("sends no digit that is none", () => {
		const phone = talking();

		phone.do({ type: "digit", key: "out-1", digit: "x" });
		phone.do({ type: "digit", key: "out-1", digit: "12" });

		expect(phone.requests()).toEqual([]);
	});
});

/** A state with what it asked for so far. */
describe("a transfer", () => {
	it("is asked for, shown, and silent here until it is done", () => {
		const phone = talking();

		phone.do({ type: "transfer", key: "out-1", to: "7003" });
		expect(phone.requests()).toEqual([{ type: "transfer", call: ID, to: "7003" }]);
		phone.hear({ type: "transferring", call: ID, by: "p1", to: CARLA });
		expect(phone.front()?.transfer).toEqual({ mine: true, by: "p1", to: CARLA });
		expect(wanted(phone.state).rooms[0]?.held).toBe(true);
		phone.hear({ type: "ended", call: ID, cause: "transferred", reason: "" }, NOW + 1_000);

		expect(phone.state.ended?.outcome).toEqual({ kind: "cause", cause: "transferred" });
		expect(phone.records()[0]?.result).toBe("answered");
	});

	it("that fails gives the call back and says why", () => {
		const phone = talking();
		phone.hear({ type: "transferring", call: ID, by: "p1", to: CARLA });

		phone.hear({ type: "transfer_failed", call: ID, cause: "busy", reason: "" });

		expect(phone.front()?.transfer).toBeNull();
		expect(phone.effects).toContainEqual({ type: "returned", cause: "busy" });
		expect(wanted(phone.state).rooms[0]?.held).toBe(false);
	});

	it("can be taken back, without a word about it", () => {
		const phone = talking();
		phone.hear({ type: "transferring", call: ID, by: "p1", to: CARLA });
		phone.requests();

		phone.do({ type: "take_back", key: "out-1" });
		phone.hear({ type: "transfer_failed", call: ID, cause: "cancelled", reason: "" });

		expect(phone.requests()).toEqual([{ type: "cancel", call: ID }]);
		expect(phone.effects.filter((effect) => effect.type === "returned")).toEqual([]);
	});

	it("of the other side rings here, then brings somebody else", () => {
		const phone = talking();

		phone.hear({ type: "transferring", call: ID, by: "p2", to: CARLA });
		expect(wanted(phone.state).tone).toBe("ringback");
		phone.hear({ type: "changed", call: ID, now: ID, peer: CARLA, media: mediaWith("p1", "p3") });

		expect(wanted(phone.state).tone).toBeNull();
		expect(phone.front()).toMatchObject({ peer: CARLA, transfer: null, phase: { name: "up", since: NOW } });
		expect(wanted(phone.state).rooms[0]?.media.peers[0]?.participant).toBe("p3");
	});

	it("of the other side is heard before the answer instead of our ringing tone", () => {
		const phone = talking();
		phone.hear({ type: "transferring", call: ID, by: "p2", to: PHONE });

		phone.hear({ type: "early", call: ID, media: mediaWith("p1", "p3") });

		expect(wanted(phone.state).tone).toBeNull();
		expect(wanted(phone.state).rooms[0]?.media.peers.map(({ participant }) => participant)).toEqual(["p3"]);
		expect(phone.front()).toMatchObject({ transfer: { to: PHONE }, phase: { name: "up", since: NOW } });
		phone.hear({ type: "transfer_failed", call: ID, cause: "busy", reason: "" });
		phone.hear({ type: "changed", call: ID, now: ID, peer: BERT, media: mediaWith("p1", "p2") });
		expect(wanted(phone.state).rooms[0]?.media.peers[0]?.participant).toBe("p2");
	});

	it("rings on when the one who transfers has left", () => {
		const phone = talking();
		phone.hear({ type: "transferring", call: ID, by: "p2", to: PHONE });

		phone.hear({ type: "changed", call: ID, now: ID, peer: PHONE, media: mediaWith("p1") });
		phone.hear({ type: "transferring", call: ID, by: "p2", to: PHONE });

		expect(wanted(phone.state).tone).toBe("ringback");
	});

	it("after a consultation connects the two others", () => {
		const phone = consulting();

		phone.do({ type: "connect", key: "out-1", with: "out-2" });
		expect(phone.requests()).toEqual([{ type: "connect", call: ID, with: OTHER }]);
		phone.hear({ type: "ended", call: OTHER, cause: "transferred", reason: "" });
		phone.hear({ type: "ended", call: ID, cause: "transferred", reason: "" });

		expect(phone.state.calls).toEqual([]);
		expect(phone.state.ended?.outcome).toEqual({ kind: "cause", cause: "transferred" });
	});

	it("moves a call that was asked into the other one's room", () => {
		const phone = talking();

		phone.hear({ type: "changed", call: ID, now: OTHER, peer: PHONE, media: { ...mediaWith("p3", "p2"), room: OTHER } });
		phone.hear({ type: "held", call: OTHER, held: true, by: "p2" });
		phone.do({ type: "hangup", key: "out-1", at: NOW });

		expect(phone.requests().at(-1)).toEqual({ type: "hangup", call: OTHER });
		expect(phone.state.closed).toEqual([ID, OTHER]);
	});

	it("is not possible with a call that is not answered", () => {
		const phone = talking();
		phone.do({ type: "dial", to: "7003", peer: CARLA, at: NOW });
		phone.do({ type: "called", key: "out-2", call: OTHER });
		phone.requests();

		phone.do({ type: "connect", key: "out-1", with: "out-2" });
		phone.do({ type: "merge", key: "out-1", with: "out-2" });
		phone.do({ type: "transfer", key: "out-2", to: "7003" });

		expect(phone.requests()).toEqual([]);
	});

	it("refused is said and changes nothing", () => {
		const phone = talking();
		const request = { type: "transfer", call: ID, to: "9999" } as const;

		phone.do({ type: "refused", key: "out-1", request, code: "not_found", at: NOW });

		expect(phone.front()?.phase.name).toBe("up");
		expect(phone.effects).toContainEqual({ type: "say", code: "not_found" });
	});
});

describe("two calls made one", () => {
	it("have all in the room, and nobody on hold", () => {
		const phone = consulting();

		phone.do({ type: "merge", key: "out-1", with: "out-2" });
		expect(phone.requests()).toEqual([{ type: "merge", call: ID, with: OTHER }]);
		phone.hear({ type: "ended", call: OTHER, cause: "transferred", reason: "" });
		phone.hear({ type: "held", call: ID, held: false, by: "p1" });
		phone.hear({ type: "changed", call: ID, now: ID, peer: BERT, media: mediaWith("p1", "p2", "p3") });

		expect(phone.state.calls).toHaveLength(1);
		expect(phone.state.ended).toBeNull();
		expect(phone.front()).toMatchObject({ held: false });
		expect(wanted(phone.state).rooms[0]?.media.peers).toHaveLength(2);
	});

	it("forget who has left", () => {
		const phone = talking();
		phone.hear({ type: "held", call: ID, held: true, by: "p2" });

		phone.hear({ type: "changed", call: ID, now: ID, peer: CARLA, media: mediaWith("p1", "p3") });

		expect(phone.front()?.heldBy).toEqual([]);
	});

	it("are known again after the page was loaded anew", () => {
		const phone = new Bench();
		const transferring = { by: "p1", to: CARLA };

		phone.do({ type: "snapshot", calls: [view({ call: ID, transferring })], resumed: false, at: NOW });

		expect(phone.front()?.transfer).toEqual({ mine: true, by: "p1", to: CARLA });
	});
});

describe("what is done with calls beside talking", () => {
	it("parks a call, and takes it when it comes back under its name", () => {
		const phone = talking();
		phone.do({ type: "park", key: ID });
		expect(phone.requests()).toContainEqual({ type: "park", call: ID });

		phone.hear({ type: "ended", call: ID, cause: "transferred", reason: "" });
		phone.hear({ type: "incoming", call: ID, from: BERT });

		expect(incoming(phone.state).map(({ peer }) => peer.id)).toEqual(["bert"]);
	});

	it("shows who is called now when a call is sent on", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		phone.do({ type: "called", key: phone.front()?.key ?? "", call: ID });

		phone.hear({ type: "diverted", call: ID, to: CARLA });

		expect(phone.front()?.peer.id).toBe("carla");
	});

	it("follows a call that is taken elsewhere before it was answered", () => {
		const phone = new Bench();
		phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
		phone.do({ type: "called", key: phone.front()?.key ?? "", call: ID });
		const there = media(OTHER);

		phone.hear({ type: "changed", call: ID, now: OTHER, peer: CARLA, media: there });
		phone.hear({ type: "up", call: OTHER, media: there });

		expect([phone.front()?.id, phone.front()?.phase.name, phone.front()?.peer.id]).toEqual([OTHER, "up", "carla"]);
	});
});

class Bench {
	state: CallsState = NO_CALLS;
	effects: Effect[] = [];
	#told = 0;

	do(event: CallsEvent): void {
		const step = reduce(this.state, event);
		this.state = step.state;
		this.effects.push(...step.effects);
	}

	hear(event: CallEvent, at = NOW): void {
		this.do({ type: "signal", event, at });
	}

	front() {
		return ongoing(this.state)[0];
	}

	/** Requests since the last time. */
	requests() {
		const fresh = this.effects.slice(this.#told);
		this.#told = this.effects.length;
		return fresh.flatMap((effect) => (effect.type === "request" ? [effect.request] : []));
	}

	records() {
		return this.effects.flatMap((effect) => (effect.type === "record" ? [effect.record] : []));
	}
}

function talking(): Bench {
	const phone = new Bench();
	phone.do({ type: "dial", to: "bert", peer: BERT, at: NOW });
	phone.do({ type: "called", key: "out-1", call: ID });
	phone.hear({ type: "up", call: ID, media: media(ID) });
	phone.requests();
	return phone;
}

function ringing(): Bench {
	const phone = new Bench();
	phone.hear({ type: "incoming", call: ID, from: BERT });
	return phone;
}

/** Bert is held, Carla answered. */
function consulting(): Bench {
	const phone = talking();
	phone.do({ type: "dial", to: "7003", peer: CARLA, at: NOW });
	phone.do({ type: "called", key: "out-2", call: OTHER });
	phone.hear({ type: "up", call: OTHER, media: media(OTHER) });
	phone.requests();
	return phone;
}

function mediaWith(own: string, ...all: string[]): Media {
	const peers = all.map((participant) => ({ participant, namespace: ["room", ID, participant], name: participant, kind: "browser" as const }));
	return { ...media(ID), participant: own, peers: peers.filter(({ participant }) => participant !== own) };
}

function media(room: string): Media {
	const peer = { participant: "p2", namespace: ["room", room, "p2"], name: "Bert", kind: "browser" as const };
	return { room, participant: "p1", namespace: ["room", room, "p1"], token: "t", peers: [peer] };
}

function view(change: Partial<CallView> & { call: string }): CallView {
	return {
		direction: "out",
		state: "up",
		peer: BERT,
		held_by: [],
		muted: [],
		up_ms: 0,
		media: media(change.call),
		...change,
	};
}
