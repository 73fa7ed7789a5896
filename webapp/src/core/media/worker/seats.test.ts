import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { PlayoutOrder } from "../messages.ts";
import { Lines } from "../wasm/lines.ts";
import { Kind, type Record } from "../wasm/session.ts";
import type { MoqSession } from "./moq-session.ts";
import { Rooms } from "./rooms.ts";

// Built by ./build-wasm; without it this file fails, as it should.
const module = new WebAssembly.Module(await readFile(new URL("../wasm/session.wasm", import.meta.url)));

/** Decodes nothing: that something came to be decoded is enough. */
class FakeCodec {
	static isConfigSupported = async () => ({ supported: true });
	state = "configured";
	decodeQueueSize = 0;
	configure() {}
	decode() {}
	close() {}
}

beforeEach(() => {
	vi.useFakeTimers();
	for (const name of ["AudioEncoder", "AudioDecoder"]) vi.stubGlobal(name, FakeCodec);
	vi.stubGlobal("EncodedAudioChunk", class {});
});

afterEach(() => {
	vi.useRealTimers();
	vi.unstubAllGlobals();
});

describe("a seat", () => {
	it("is heard as whoever has it, each with a time line of its own", () => {
		const { said, orders, rooms } = bench();

		said({ group: 1, participant: 3, at: 90_000 });
		said({ group: 1, object: 1, participant: 3, at: 90_960 });
		said({ group: 2, participant: 4, at: 5 });

		const added = orders.filter((order) => order.type === "add").map(({ participant }) => participant);
		expect(added).toEqual(["s1", "p3", "p4"]);
		vi.advanceTimersByTime(1_000);
		expect(orders.filter((order) => order.type === "remove")).toHaveLength(2);
		expect(rooms.stats()).toMatchObject([{ participant: "p4", received: 3, lost: 0 }]);
	});

	it("leaves the own voice out", () => {
		const { said, orders } = bench();

		said({ group: 1, participant: 1, at: 0 });

		expect(orders.filter((order) => order.type === "add").map(({ participant }) => participant)).toEqual(["s1"]);
	});

	it("is not taken back by what comes late of the one before", () => {
		const { said, orders } = bench();
		said({ group: 1, participant: 3, at: 0 });
		said({ group: 2, participant: 4, at: 0 });

		said({ group: 1, object: 1, participant: 3, at: 960 });
		expect(orders.filter((order) => order.type === "add").at(-1)).toMatchObject({ participant: "p4" });
		// A seat whose numbers began anew is another matter.
		said({ group: 1_000, participant: 5, at: 0 });
		said({ group: 3, participant: 3, at: 0 });

		expect(orders.filter((order) => order.type === "add").at(-1)).toMatchObject({ participant: "p3" });
	});

	it("plays each as loud as was asked, whichever seat", () => {
		const { said, orders, rooms } = bench();
		rooms.setGain("r", "p4", 0.5);
		said({ group: 1, participant: 3, at: 0 });
		const gain = () => orders.filter((order) => order.type === "gain").at(-1)?.gain;
		expect(gain()).toBe(1);

		said({ group: 2, participant: 4, at: 0 });
		expect(gain()).toBe(0.5);
		rooms.setGain("r", "p4", 2);

		expect(gain()).toBe(2);
	});
});

it("a listener publishes nothing, and speaks when it may", () => {
	const { rooms, asked, media } = bench();
	expect(asked).toEqual(["publish audio", "publish catalog", "subscribe room/r/s1 audio"]);

	rooms.join({ ...media, publishes: false });
	expect(asked.slice(3)).toEqual(["end", "end"]);
	rooms.join({ ...media, publishes: true });

	expect(asked.slice(5)).toEqual(["publish audio", "publish catalog"]);
});

function bench() {
	const asked: string[] = [];
	const keys = new Map<string, number>();
	const session = {
		dropped: 0,
		subscribe: (key: number, { namespace, name }: { namespace: readonly string[]; name: string }) => {
			const asks = `subscribe ${namespace.join("/")} ${name}`;
			asked.push(asks);
			keys.set(asks, key);
			return true;
		},
		publish: (_key: number, { name }: { name: string }) => {
			asked.push(`publish ${name}`);
			return true;
		},
		endTrack: () => void asked.push("end"),
	} as unknown as MoqSession;
	const rooms = new Rooms({ publishing() {}, peer() {}, codecFailed() {}, replay() {}, settled() {}, heard() {} });
	const orders: PlayoutOrder[] = [];
	rooms.setLines(new Lines(module));
	rooms.setPlayout({ postMessage: (order: PlayoutOrder) => orders.push(order) } as unknown as MessagePort);
	const media = { room: "r", participant: "p1", namespace: ["room", "r", "p1"], token: "t", peers: [{ participant: "s1", namespace: ["room", "r", "s1"] }], seats: true };
	rooms.join(media);
	rooms.use(session);
	const said = ({ group, object = 0, participant, at }: { group: number; object?: number; participant: number; at: number }) => {
		const id = keys.get("subscribe room/r/s1 audio") ?? 0;
		const record: Record = { kind: Kind.Packet, id, code: 0, at, group: BigInt(group), object: BigInt(object), ticks: 960, participant, bytes: Uint8Array.of(31 << 3, 1) };
		rooms.record(record);
	};
	return { rooms, orders, asked, media, said };
}
