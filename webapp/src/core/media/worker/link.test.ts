import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LinkState, RelayAddress } from "../api.ts";
import { Link } from "./link.ts";
import type { MoqSession } from "./moq-session.ts";
import { openWebTransport } from "./web-transport.ts";

const module = new WebAssembly.Module(await readFile(new URL("../wasm/session.wasm", import.meta.url)));
const ADDRESS = { url: "https://relay.test:4443/moq", hashes: ["ab".repeat(32)], token: "t" };
/** SETUP without options, and GOAWAY (draft-18, section 10.4) without a URI. */
const SETUP = [0xaf, 0x00, 0x00, 0x00];
const GOAWAY = [0x10, 0, 3, 0, 0, 0];

/** A relay's side, as far as a link sees it. */
class FakeWebTransport {
	static made: FakeWebTransport[] = [];
	/** What new ones do. */
	static behaviour: "accept" | "refuse" | "hang" = "accept";
	readonly url: string;
	readonly options: { serverCertificateHashes?: { value: Uint8Array }[]; protocols?: string[] };
	readonly ready: Promise<void>;
	readonly closed: Promise<object>;
	readonly datagrams = { readable: new ReadableStream(), writable: new WritableStream(), maxDatagramSize: 1200 };
	isClosed = false;
	readonly incomingBidirectionalStreams = new ReadableStream();
	readonly incomingUnidirectionalStreams: ReadableStream;
	control: ReadableStreamDefaultController<Uint8Array> | undefined;
	#settle: { ready: () => void; refuse: (error: Error) => void; closed: (info: object) => void };

	constructor(url: string, options: object) {
		FakeWebTransport.made.push(this);
		this.url = url;
		this.options = options;
		let ready = () => {};
		let refuse = (_: Error) => {};
		let closed = (_: object) => {};
		this.ready = new Promise((resolve, reject) => {
			ready = resolve;
			refuse = reject;
		});
		this.closed = new Promise((resolve) => {
			closed = resolve;
		});
		this.#settle = { ready, refuse, closed };
		const control = new ReadableStream<Uint8Array>({
			start: (controller) => {
				this.control = controller;
				controller.enqueue(Uint8Array.from(SETUP));
			},
		});
		this.incomingUnidirectionalStreams = new ReadableStream({ start: (streams) => streams.enqueue(control) });
		if (FakeWebTransport.behaviour === "accept") ready();
		if (FakeWebTransport.behaviour === "refuse") refuse(new Error("Opening handshake failed."));
	}

	createUnidirectionalStream = async () => new WritableStream();
	createBidirectionalStream = async () => ({ readable: new ReadableStream(), writable: new WritableStream() });

	/** Ours, or the test's for the relay's. */
	close({ closeCode = 0 } = {}) {
		this.isClosed = true;
		this.#settle.refuse(new Error("closed"));
		this.#settle.closed({ closeCode, reason: "" });
	}
}

describe("a link", () => {
	const states: LinkState[] = [];
	/** Sessions that may be used, oldest first. */
	const used: MoqSession[] = [];
	let fresh: RelayAddress | null;
	let link: Link;
	beforeEach(() => {
		vi.useFakeTimers();
		vi.stubGlobal("WebTransport", FakeWebTransport);
		FakeWebTransport.made = [];
		FakeWebTransport.behaviour = "accept";
		states.length = 0;
		used.length = 0;
		fresh = null;
		link = new Link(module, { webtransport: openWebTransport }, undefined, {
			state: (state) => states.push(state),
			use: (session) => used.push(session),
			drop: (session) => used.splice(used.indexOf(session), 1),
			record: () => {},
			address: async () => fresh,
			pingKey: () => null,
		});
	});
	afterEach(() => {
		link.disconnect();
		vi.useRealTimers();
		vi.unstubAllGlobals();
	});
	const names = () => states.map((state) => ("reason" in state ? `${state.name} ${state.reason}` : state.name));
	const relay = () => FakeWebTransport.made.at(-1) as FakeWebTransport;
	const settle = () => vi.advanceTimersByTimeAsync(1);

	it("stands when the relay's SETUP came, with hashes, subprotocol and draft", async () => {
		link.connect(ADDRESS);
		await settle();

		expect(states.at(-1)).toEqual({ name: "connected", way: "webtransport", voice: "datagram" });
		expect(used).toHaveLength(1);
		expect(relay().url).toBe("https://relay.test:4443/moq?moqt=18");
		expect(relay().options.protocols).toEqual(["moqt-18"]);
		expect(relay().options.serverCertificateHashes?.[0]?.value).toEqual(new Uint8Array(32).fill(0xab));
	});

	it("comes back at the address of the day when the session dies", async () => {
		link.connect(ADDRESS);
		await settle();
		fresh = { url: "https://other.test/moq", hashes: [] };

		relay().close();
		await settle();
		expect(names()).toEqual(["connecting", "connected", "reconnecting lost"]);
		expect(used).toEqual([]);
		await vi.advanceTimersByTimeAsync(250);

		expect(names().at(-1)).toBe("connected");
		expect(relay().url).toBe("https://other.test/moq?moqt=18");
		expect(relay().options.serverCertificateHashes).toBeUndefined();
	});

	it("tries at once when the network is back", async () => {
		link.connect(ADDRESS);
		await settle();
		FakeWebTransport.behaviour = "refuse";
		relay().close();
		await vi.advanceTimersByTimeAsync(20_000);
		FakeWebTransport.behaviour = "accept";
		expect(names().at(-1)).toBe("reconnecting unreachable");

		link.hurry();
		await settle();

		expect(names().at(-1)).toBe("connected");
	});

	it("asks for another token once when it is refused", async () => {
		link.connect(ADDRESS);
		await settle();
		relay().close({ closeCode: 0x2 });
		await vi.advanceTimersByTimeAsync(300);
		expect(names().slice(-2)).toEqual(["reconnecting unauthorized", "connected"]);

		relay().close({ closeCode: 0x2 });
		await vi.advanceTimersByTimeAsync(60_000);

		expect(names().at(-1)).toBe("failed unauthorized");
		expect(FakeWebTransport.made).toHaveLength(2);
	});

	it("gives up a relay that is not there, and one that hangs", async () => {
		FakeWebTransport.behaviour = "hang";
		link.connect(ADDRESS);
		await vi.advanceTimersByTimeAsync(60_000);

		expect(names().at(-1)).toBe("failed unreachable");
		expect(FakeWebTransport.made).toHaveLength(5);
	});

	it("goes when it is asked to, and keeps the old session until the new one has everything", async () => {
		link.connect(ADDRESS);
		await settle();
		const [old] = FakeWebTransport.made;

		old?.control?.enqueue(Uint8Array.from(GOAWAY));
		await settle();
		expect(used).toHaveLength(2);
		expect(old?.isClosed).toBe(false);
		link.settled(used[1] as MoqSession);
		await vi.advanceTimersByTimeAsync(1_000);

		expect(used).toHaveLength(1);
		expect(old?.isClosed).toBe(true);
		expect(relay().isClosed).toBe(false);
		expect(new Set(names().slice(1))).toEqual(new Set(["connected"]));
		expect(link.moves).toBe(1);
	});

	it("does not wait for ever for SETUP", async () => {
		link.connect(ADDRESS);
		await settle();
		const [{ control }] = [relay()];
		control?.close();
		await settle();
		// The end of the control stream is a breach of the draft.
		expect(names().at(-1)).toBe("reconnecting protocol");
	});

	it("says nothing any more once it was disconnected", async () => {
		link.connect(ADDRESS);
		await settle();
		link.disconnect();
		relay().close({ closeCode: 3 });
		await vi.advanceTimersByTimeAsync(60_000);

		expect(names()).toEqual(["connecting", "connected", "idle"]);
		expect(FakeWebTransport.made).toHaveLength(1);
	});
});
