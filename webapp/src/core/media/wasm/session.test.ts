import { readFile } from "node:fs/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { Lines } from "./lines.ts";
import { Kind, type Record, Session } from "./session.ts";

// Built by ./build-wasm; without it this file fails, as it should.
const module = new WebAssembly.Module(await readFile(new URL("./session.wasm", import.meta.url)));

/** SETUP without options (draft-18, section 10.3), as a relay's control stream begins. */
const SETUP = Uint8Array.of(0xaf, 0x00, 0x00, 0x00);
const OFFER = { namespace: ["room", "r", "p1"], name: "audio", token: "ticket" };
const GROUP = 1_800_000_000;
/** An Opus packet of 20 ms. */
const PACKET = Uint8Array.of(31 << 3, 1, 2, 3);

describe("a session in WebAssembly", () => {
	let session: Session;
	beforeEach(() => {
		session = new Session(module, "secret", 1000);
	});

	it("opens the control stream, sends SETUP with the token and waits for the relay's", () => {
		const [open, setup, ...rest] = drain(session);

		expect(open?.kind).toBe(Kind.OpenUni);
		expect(setup).toMatchObject({ kind: Kind.Write, id: open?.id });
		expect(text(setup)).toContain("secret");
		expect(rest).toEqual([]);
		expect(session.deadline).toBeGreaterThan(1000);
		expect(session.deadline).toBeLessThan(Number.POSITIVE_INFINITY);

		session.stream(session.acceptUni(), SETUP, false, 1010);
		expect(drain(session).map(({ kind }) => kind)).toEqual([Kind.Ready]);
	});

	it("hears what it publishes when the relay sends it back", () => {
		setUp(session);
		expect(session.publish(1, OFFER, "datagram", true)).toBe(true);
		const published = drain(session);
		expect(published.map(({ kind }) => kind)).toEqual([Kind.OpenBi, Kind.Write]);
		expect(text(published[1])).toContain("ticket");
		expect(session.voice(1, { group: GROUP, object: 7 }, 48_000, 0x80 | 25, PACKET)).toBe(true);
		const datagram = drain(session)[0] as Record;
		expect(datagram.kind).toBe(Kind.Datagram);

		expect(session.subscribe(2, OFFER, 10_000)).toBe(true);
		const request = drain(session)[0] as Record;
		// SUBSCRIBE_OK with the alias that the datagram has, no parameters, no properties: times are in microseconds.
		const alias = datagram.bytes[1] as number;
		session.stream(request.id, Uint8Array.of(0x04, 0, 2, alias, 0), false, 1020);
		session.datagram(datagram.bytes, 1030);

		const [live, heard] = drain(session);
		expect(live).toMatchObject({ kind: Kind.Live, id: 2 });
		expect(heard).toMatchObject({ kind: Kind.Packet, id: 2, code: 0x80 | 25, at: 2_304, ticks: 960 });
		expect(heard).toMatchObject({ group: BigInt(GROUP), object: 7n });
		expect(heard?.bytes).toEqual(PACKET);

		const lines = new Lines(module);
		const at = lines.place(5, heard as Record);
		expect(at).toBeGreaterThan(0);
		expect(lines.place(5, heard as Record)).toBeNull();
		expect(lines.counts(5)).toEqual({ received: 1, lost: 0 });
		lines.end(5);
		expect(lines.place(5, heard as Record)).toBe(at);
	});

	it("writes a subgroup where datagrams are too small", () => {
		setUp(session);
		session.publish(1, OFFER, "stream", true);
		drain(session);

		session.voice(1, { group: 5, object: 0 }, 0, 30, PACKET);
		session.voice(1, { group: 5, object: 1 }, 960, 30, PACKET);
		session.end(1);

		const kinds = drain(session).map(({ kind }) => kind);
		expect(kinds.slice(0, 4)).toEqual([Kind.OpenUni, Kind.Write, Kind.Write, Kind.Finish]);
	});

	it("says why a track was refused", () => {
		setUp(session);
		session.subscribe(2, OFFER, 10_000);
		const request = drain(session)[0] as Record;

		// REQUEST_ERROR: code 0x10, no retry, reason "no".
		session.stream(request.id, Uint8Array.of(0x05, 0, 5, 0x10, 0, 2, 0x6e, 0x6f), true, 1020);

		const refused = drain(session).find(({ kind }) => kind === Kind.Refused) as Record;
		expect(refused).toMatchObject({ id: 2, code: 0x10, at: -1 });
		expect(text(refused)).toBe("no");
	});

	it("closes on bytes that break the draft", () => {
		setUp(session);

		session.datagram(Uint8Array.of(0x3f, 0), 1020);

		expect(drain(session).at(-1)).toMatchObject({ kind: Kind.Close, code: 3 });
		expect(session.subscribe(2, OFFER, 10_000)).toBe(false);
	});

	it("takes a megabyte at once and refuses names that are too long", () => {
		setUp(session);
		const stream = session.acceptUni();
		session.stream(stream, new Uint8Array(1 << 20), true, 1020);
		expect(drain(session).at(-1)?.kind).toBe(Kind.Close);

		const long = { ...OFFER, name: "x".repeat(70_000) };
		expect(() => session.subscribe(3, long, 0)).toThrow(RangeError);
	});
});

function setUp(session: Session): void {
	session.stream(session.acceptUni(), SETUP, false, 1000);
	drain(session);
}

function drain(session: Session): Record[] {
	const records: Record[] = [];
	for (let record = session.poll(); record !== null; record = session.poll()) records.push(record);
	return records;
}

const text = (record: Record | undefined) => new TextDecoder().decode(record?.bytes);
