import { describe, expect, it } from "vitest";
import type { LinkFailure, LinkState, RelayAddress, Way } from "../api.ts";
import {
	ASK_BESIDE_MS,
	ASK_MS,
	elsewhere,
	HEAD_START_MS,
	type Input,
	JOIN_MS,
	LINGER_MS,
	Mover,
	type Output,
	PROBE_FIRST_MS,
	PROBE_MAX_MS,
	TRY_MS,
	type Ways,
} from "./mover.ts";

const ADDRESS: RelayAddress = { url: "https://relay.test:4443/moq", hashes: [], websocket: "wss://relay.test/moq", token: "t" };
const BOTH: Ways = { webtransport: true, websocket: true };
const UDP_ONLY: Ways = { webtransport: true, websocket: false };
const SAFARI: Ways = { webtransport: false, websocket: true };

/** A mover, its clock, and what it has begun and not ended. */
class Course {
	now = 1_000;
	readonly states: LinkState[] = [];
	/** Sessions that are open, oldest first. */
	readonly open: { id: number; way: Way; url: string }[] = [];
	/** Those that may be used. */
	readonly used: number[] = [];
	asked = 0;
	readonly #mover: Mover;

	constructor(ways: Ways = BOTH, address = ADDRESS) {
		this.#mover = new Mover(ways, () => 0.999);
		this.tell({ type: "connect", address });
	}

	tell(input: Input): void {
		this.#take(this.#mover.handle(input, this.now));
	}

	/** Lets time pass, deadline by deadline. */
	pass(ms: number): void {
		const end = this.now + ms;
		for (let steps = 0; this.#mover.deadline <= end; steps++) {
			if (steps > 1_000) throw new Error("the deadline does not move");
			this.now = Math.max(this.now, this.#mover.deadline);
			this.#take(this.#mover.timeout(this.now));
		}
		this.now = end;
	}

	/** The newest session stands. */
	ready(id = this.newest): number {
		this.tell({ type: "ready", id, voice: this.way(id) === "webtransport" ? "datagram" : "stream" });
		return id;
	}

	fails(id = this.newest, reason: LinkFailure = "unreachable"): void {
		this.tell({ type: "ended", id, reason, detail: "" });
	}

	get newest(): number {
		return this.open.at(-1)?.id ?? 0;
	}

	get ways(): Way[] {
		return this.open.map(({ way }) => way);
	}

	get state(): string {
		const state = this.states.at(-1);
		if (state?.name === "connected") return `connected ${state.way}`;
		return state !== undefined && "reason" in state ? `${state.name} ${state.reason}` : (state?.name ?? "");
	}

	way(id: number): Way | undefined {
		return this.open.find((session) => session.id === id)?.way;
	}

	#take(outputs: readonly Output[]): void {
		for (const output of outputs) {
			switch (output.type) {
				case "open":
					this.open.push({ id: output.id, way: output.way, url: output.address.url });
					break;
				case "use":
					this.used.push(output.id);
					break;
				case "close":
					remove(this.open, ({ id }) => id === output.id);
					remove(this.used, (id) => id === output.id);
					break;
				case "ask":
					this.asked++;
					break;
				case "state":
					this.states.push(output.state);
			}
		}
	}
}

function remove<T>(list: T[], which: (item: T) => boolean): void {
	const at = list.findIndex(which);
	if (at >= 0) list.splice(at, 1);
}

/** A course with a session that stands. */
function standing(ways: Ways = BOTH): Course {
	const course = new Course(ways);
	course.ready();
	return course;
}

/** One that had to go by WebSocket. */
function onWebSocket(): Course {
	const course = new Course();
	course.pass(HEAD_START_MS);
	course.ready();
	return course;
}

describe("the first session", () => {
	it("goes by WebTransport when that stands in time", () => {
		const course = new Course();
		expect(course.ways).toEqual(["webtransport"]);

		course.ready();
		course.pass(60_000);

		expect(course.ways).toEqual(["webtransport"]);
		expect(course.used).toEqual([1]);
		expect(course.state).toBe("connected webtransport");
	});

	it("goes by WebSocket when WebTransport is silent for a second and a half", () => {
		const course = new Course();
		course.pass(HEAD_START_MS - 1);
		expect(course.ways).toEqual(["webtransport"]);
		course.pass(1);
		expect(course.ways).toEqual(["webtransport", "websocket"]);

		course.ready();

		expect(course.ways).toEqual(["websocket"]);
		expect(course.state).toBe("connected websocket");
	});

	it("takes WebTransport all the same when it stands first", () => {
		const course = new Course();
		course.pass(HEAD_START_MS);

		course.ready(1);

		expect(course.ways).toEqual(["webtransport"]);
		expect(course.used).toEqual([1]);
	});

	it("goes by WebSocket at once where WebTransport is refused, or is not there at all", () => {
		const refused = new Course();
		refused.fails();
		expect(refused.ways).toEqual(["websocket"]);

		const safari = standing(SAFARI);
		safari.pass(600_000);
		expect(safari.ways).toEqual(["websocket"]);
		expect(safari.asked).toBe(0);
	});

	it("is given up after some tries, for the reason that says most", () => {
		const course = new Course();
		for (let n = 0; n < 5; n++) {
			course.fails(course.open.find(({ way }) => way === "webtransport")?.id);
			course.fails(course.newest, n === 4 ? "version" : "unreachable");
			if (n < 4) course.pass(5_000 + ASK_MS);
		}

		expect(course.state).toBe("failed version");
		expect(course.open).toEqual([]);
	});

	it("does not wait for ever for an answer", () => {
		const course = new Course(UDP_ONLY);

		course.pass(TRY_MS);

		expect(course.state).toBe("reconnecting unreachable");
		expect(course.open).toEqual([]);
	});

	it("says when the browser has no way at all", () => {
		expect(new Course({ webtransport: false, websocket: false }).state).toBe("failed unsupported");
	});
});

describe("GOAWAY", () => {
	it("opens the next session before the old one is closed", () => {
		const course = standing();

		course.tell({ type: "goaway", id: 1, uri: "" });
		expect(course.asked).toBe(1);
		course.tell({ type: "address", address: { ...ADDRESS, token: "new" } });
		expect(course.open.map(({ id }) => id)).toEqual([1, 2]);
		course.ready(2);
		expect(course.used).toEqual([1, 2]);
		course.tell({ type: "settled", id: 2 });
		expect(course.used).toEqual([1, 2]);
		course.pass(LINGER_MS);

		expect(course.used).toEqual([2]);
		expect(course.open.map(({ id }) => id)).toEqual([2]);
		expect(course.states.some(({ name }) => name === "reconnecting")).toBe(false);
	});

	it("leads where its URI says when that is another port of the same host", () => {
		const course = standing();

		course.tell({ type: "goaway", id: 1, uri: "https://relay.test:4444/moq?x" });
		course.pass(ASK_BESIDE_MS);

		expect(course.open.at(-1)?.url).toBe("https://relay.test:4444/moq?x");
	});

	it("does not carry the token to a stranger", () => {
		for (const uri of ["https://elsewhere.test/moq", "http://relay.test:4444/", "https://a:b@relay.test/", "nonsense"]) {
			expect(elsewhere(ADDRESS, uri)).toBe(ADDRESS);
		}
		const others = ["https://b.test:4443/moq"];
		expect(elsewhere({ ...ADDRESS, others }, "https://b.test:4443/x").url).toBe("https://b.test:4443/x");
		expect(elsewhere({ ...ADDRESS, others }, "https://b.test:9/x").url).toBe(ADDRESS.url);
	});

	it("is tried again and again until the relay closes", () => {
		const course = standing(UDP_ONLY);
		course.tell({ type: "goaway", id: 1, uri: "" });
		for (let n = 0; n < 3; n++) {
			course.pass(ASK_BESIDE_MS);
			course.fails();
			expect(course.used).toEqual([1]);
			course.pass(250 * 2 ** n);
		}
		expect(course.state).toBe("connected webtransport");

		course.fails(1, "going_away");
		expect(course.used).toEqual([]);
		expect(course.state).toBe("reconnecting going_away");
	});

	it("ends with the next session when the old one is closed in mid-move", () => {
		const course = standing();
		course.tell({ type: "goaway", id: 1, uri: "" });
		course.tell({ type: "address", address: null });
		course.ready(2);

		course.fails(1, "going_away");

		expect(course.used).toEqual([2]);
		expect(course.state).toBe("connected webtransport");
	});

	it("is carried out although a track is missing on the next session, in the end", () => {
		const course = standing();
		course.tell({ type: "goaway", id: 1, uri: "" });
		course.tell({ type: "address", address: null });
		course.ready(2);

		course.pass(JOIN_MS + LINGER_MS);

		expect(course.used).toEqual([2]);
	});

	it("goes by WebSocket when WebTransport is not to be had at the new place", () => {
		const course = standing();
		course.tell({ type: "goaway", id: 1, uri: "" });
		course.tell({ type: "address", address: null });

		course.pass(HEAD_START_MS);
		course.ready();
		course.tell({ type: "settled", id: course.newest });

		expect(course.state).toBe("connected websocket");
	});
});

describe("a way that falls silent", () => {
	it("is left by whichever way stands first, and not before", () => {
		const course = standing();

		course.tell({ type: "silent", id: 1 });
		expect(course.ways).toEqual(["webtransport", "webtransport", "websocket"]);
		expect(course.state).toBe("reconnecting lost");
		expect(course.used).toEqual([1]);
		course.ready(3);
		course.tell({ type: "settled", id: 3 });
		course.pass(LINGER_MS);

		expect(course.used).toEqual([3]);
		expect(course.ways).toEqual(["websocket"]);
		expect(course.state).toBe("connected websocket");
	});

	it("is kept when it speaks again before another one stands", () => {
		const course = standing();
		course.tell({ type: "silent", id: 1 });

		course.tell({ type: "heard", id: 1 });

		expect(course.open.map(({ id }) => id)).toEqual([1]);
		expect(course.state).toBe("connected webtransport");
	});

	it("is tried again later and later while nothing gets through", () => {
		const course = standing();
		course.tell({ type: "silent", id: 1 });
		course.fails(2);
		course.fails(3);
		expect(course.open.map(({ id }) => id)).toEqual([1]);

		course.pass(250 + ASK_BESIDE_MS);
		expect(course.ways).toEqual(["webtransport", "webtransport", "websocket"]);

		// Its own timeout comes at last: what is being opened goes on.
		course.fails(1, "lost");
		expect(course.open).toHaveLength(2);
		course.ready();
		expect(course.used).toEqual([course.newest]);
	});
});

describe("a session by WebSocket", () => {
	it("looks for WebTransport from time to time, more and more rarely", () => {
		const course = onWebSocket();
		const began: number[] = [];
		const start = course.now;
		while (course.now - start < 500_000) {
			course.pass(500);
			if (course.ways.length === 2) {
				began.push(course.now);
				course.fails();
			}
		}

		const waits = began.map((at, n) => at - (began[n - 1] ?? start));
		expect(waits[0]).toBeLessThanOrEqual(PROBE_FIRST_MS + ASK_BESIDE_MS + 500);
		expect(waits.at(-1)).toBeGreaterThanOrEqual(PROBE_MAX_MS);
		expect(waits).toEqual(waits.toSorted((a, b) => a - b));
		expect(course.used).toEqual([2]);
		expect(course.state).toBe("connected websocket");
	});

	it("goes back make-before-break", () => {
		const course = onWebSocket();
		course.pass(PROBE_FIRST_MS);
		course.tell({ type: "address", address: null });
		expect(course.ways).toEqual(["websocket", "webtransport"]);

		course.ready();
		expect(course.used).toHaveLength(2);
		course.tell({ type: "settled", id: course.newest });
		course.pass(LINGER_MS);

		expect(course.ways).toEqual(["webtransport"]);
		expect(course.state).toBe("connected webtransport");
	});

	it("stays when the tracks do not come to life by WebTransport", () => {
		const course = onWebSocket();
		course.pass(PROBE_FIRST_MS + ASK_BESIDE_MS);
		course.ready();

		course.pass(JOIN_MS);

		expect(course.ways).toEqual(["websocket"]);
		expect(course.used).toEqual([2]);
	});

	it("looks at once when the network is back", () => {
		const course = onWebSocket();
		course.tell({ type: "online" });
		course.tell({ type: "address", address: null });

		expect(course.ways).toEqual(["websocket", "webtransport"]);
	});

	it("trusts WebTransport less when it dies soon after it came back", () => {
		const course = onWebSocket();
		const waits: number[] = [];
		for (let n = 0; n < 6; n++) {
			const from = course.now;
			while (course.ways.length < 2) course.pass(500);
			waits.push(course.now - from);
			course.ready();
			course.tell({ type: "settled", id: course.newest });
			course.pass(LINGER_MS);
			expect(course.ways).toEqual(["webtransport"]);
			course.tell({ type: "silent", id: course.newest });
			course.ready();
			course.tell({ type: "settled", id: course.newest });
			course.pass(LINGER_MS);
			expect(course.ways).toEqual(["websocket"]);
		}

		expect(waits.at(-1)).toBeGreaterThanOrEqual(PROBE_MAX_MS);
		expect(waits).toEqual(waits.toSorted((x, y) => x - y));
	});
});

describe("a loss", () => {
	it("is followed by tries at the address of the day, later and later", () => {
		const course = standing(UDP_ONLY);
		course.fails(1, "lost");
		expect(course.state).toBe("reconnecting lost");
		course.pass(250);
		expect(course.asked).toBe(1);

		course.tell({ type: "address", address: { ...ADDRESS, url: "https://other.test/moq" } });

		expect(course.open.at(-1)?.url).toBe("https://other.test/moq");
		course.fails();
		const waits = course.states.flatMap((state) => (state.name === "reconnecting" ? [state.retryInMs] : []));
		expect(waits).toEqual([250, 500]);
	});

	it("of the next session in mid-move leaves the old one", () => {
		const course = standing(UDP_ONLY);
		course.tell({ type: "goaway", id: 1, uri: "" });
		course.tell({ type: "address", address: null });
		course.ready(2);

		course.fails(2, "lost");

		expect(course.used).toEqual([1]);
		course.pass(250 + ASK_BESIDE_MS);
		expect(course.open).toHaveLength(2);
	});

	it("of the new session while the old one lingers goes back to that", () => {
		const course = standing(UDP_ONLY);
		course.tell({ type: "goaway", id: 1, uri: "" });
		course.tell({ type: "address", address: null });
		course.ready(2);
		course.tell({ type: "settled", id: 2 });

		course.fails(2, "lost");
		course.pass(60_000);

		expect(course.used).toEqual([1]);
	});

	it("asks for another token once", () => {
		const course = standing(UDP_ONLY);
		course.fails(1, "unauthorized");
		course.pass(300 + ASK_MS);
		course.ready();
		course.fails(course.newest, "unauthorized");
		course.pass(600_000);

		expect(course.state).toBe("failed unauthorized");
	});

	it("ends with an impatient network", () => {
		const course = standing(UDP_ONLY);
		course.fails(1, "lost");

		course.tell({ type: "online" });
		course.tell({ type: "address", address: null });
		course.ready();

		expect(course.state).toBe("connected webtransport");
	});

	it("means nothing once everything was closed", () => {
		const course = standing();
		course.tell({ type: "goaway", id: 1, uri: "" });
		course.tell({ type: "address", address: null });
		course.tell({ type: "disconnect" });
		course.fails(1, "lost");
		course.ready(2);
		course.pass(600_000);

		expect(course.open).toEqual([]);
		expect(course.used).toEqual([]);
		expect(course.states.at(-1)).toEqual({ name: "idle" });
	});
});
