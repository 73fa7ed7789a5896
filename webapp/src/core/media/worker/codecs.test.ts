import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FRAME_SAMPLES } from "../messages.ts";
import { Decoder } from "./decoder.ts";
import { Encoder, type Packet } from "./encoder.ts";

/** Stands for both codecs of WebCodecs: what goes in comes out when the test says so. */
class FakeCodec {
	static made: FakeCodec[] = [];
	static supported = (_config: { opus?: object }) => true;
	static isConfigSupported = async (config: { opus?: object }) => ({ supported: FakeCodec.supported(config) });
	state = "unconfigured";
	config: { opus?: object } = {};
	readonly queue: unknown[] = [];
	get decodeQueueSize() {
		return this.queue.length;
	}
	readonly #output: (value: unknown) => void;
	readonly #error: (error: Error) => void;

	constructor({ output, error }: { output: (value: unknown) => void; error: (error: Error) => void }) {
		this.#output = output;
		this.#error = error;
		FakeCodec.made.push(this);
	}

	configure(config: object) {
		this.state = "configured";
		this.config = config;
	}
	encode(value: unknown) {
		this.queue.push(value);
	}
	decode(value: unknown) {
		this.queue.push(value);
	}
	close() {
		this.state = "closed";
	}
	/** One piece comes out: a packet of one byte and PCM at once. */
	emit() {
		this.queue.shift();
		this.#output({
			byteLength: 1,
			numberOfFrames: FRAME_SAMPLES,
			copyTo: (to: Uint8Array | Float32Array) => to.fill(1),
			close() {},
		});
	}
	swallow() {
		this.queue.shift();
	}
	fail() {
		this.state = "closed";
		this.#error(new Error("EncodingError"));
	}
}

const last = () => FakeCodec.made.at(-1) as FakeCodec;
const frame = (at: number) => ({ pcm: new Float32Array(FRAME_SAMPLES), at, level: at % 128 });

beforeEach(() => {
	FakeCodec.made = [];
	FakeCodec.supported = () => true;
	vi.stubGlobal("AudioEncoder", FakeCodec);
	vi.stubGlobal("AudioDecoder", FakeCodec);
	vi.stubGlobal("AudioData", class {
		close() {}
	});
	vi.stubGlobal("EncodedAudioChunk", class {});
});
afterEach(() => vi.unstubAllGlobals());

describe("the encoder", () => {
	it("never asks for silence to be left out, and does without hints the browser does not know", async () => {
		FakeCodec.supported = ({ opus }) => !("application" in (opus ?? {}));
		const encoder = new Encoder(
			() => {},
			() => {},
		);
		await encoder.start();
		encoder.encode(frame(0));

		expect(last().config).toEqual({
			codec: "opus",
			sampleRate: 48_000,
			numberOfChannels: 1,
			bitrate: 32_000,
			opus: { frameDuration: 20_000, useinbandfec: true, packetlossperc: 10 },
		});
	});

	it("gives each packet the place and level of its frame, over gaps too", async () => {
		const packets: Packet[] = [];
		const encoder = new Encoder(
			(packet) => packets.push(packet),
			() => {},
		);
		await encoder.start();
		for (const at of [0, 960, 48_000]) encoder.encode(frame(at));
		for (let i = 0; i < 4; i++) last().emit(); // one more than frames: the look-ahead

		expect(packets.map(({ at, level }) => [at, level])).toEqual([
			[0, 0],
			[960, 64],
			[48_000, 0],
		]);
	});

	it("is made again after errors, some times a minute", async () => {
		const failed = vi.fn();
		const encoder = new Encoder(() => {}, failed);
		await encoder.start();
		for (let i = 0; i < 5; i++) {
			expect(encoder.encode(frame(i))).toBe(true);
			last().fail();
		}
		expect(failed).not.toHaveBeenCalled();
		expect(encoder.restarts).toBe(5);

		encoder.encode(frame(6));
		last().fail();
		expect(failed).toHaveBeenCalledOnce();
		expect(encoder.encode(frame(7))).toBe(false);
		expect(FakeCodec.made).toHaveLength(6);
	});

	it("leaves frames out when it is stuck", async () => {
		const encoder = new Encoder(
			() => {},
			() => {},
		);
		await encoder.start();
		const taken = Array.from({ length: 20 }, (_, i) => encoder.encode(frame(i))).filter(Boolean);
		expect(taken).toHaveLength(10);
	});

	it("says so when there is no Opus", async () => {
		FakeCodec.supported = () => false;
		const failed = vi.fn();
		await new Encoder(() => {}, failed).start();
		expect(failed).toHaveBeenCalledWith("encoder: Opus is not supported");
	});
});

describe("the decoder", () => {
	const places: number[] = [];
	const make = (failed: (detail: string) => void = () => {}) =>
		new Decoder(
			(samples) => new Float32Array(samples),
			(_, at) => places.push(at),
			failed,
		);
	beforeEach(() => {
		places.length = 0;
	});

	it("gives each sound the place of its packet", () => {
		const decoder = make();
		for (const at of [960, 1_920, 9_600]) decoder.decode(new Uint8Array(1), at);
		for (let i = 0; i < 3; i++) last().emit();
		expect(places).toEqual([960, 1_920, 9_600]);
	});

	it("finds back when packets were swallowed", () => {
		const decoder = make();
		for (let i = 0; i < 120; i++) {
			decoder.decode(new Uint8Array(1), i);
			if (i === 10) last().swallow();
			else last().emit();
		}
		expect(places.slice(10, 20)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]); // one too early
		expect(places.slice(-10)).toEqual([110, 111, 112, 113, 114, 115, 116, 117, 118, 119]);
	});

	it("is made again after errors until it is hopeless, and closes for good", () => {
		const failed = vi.fn();
		const decoder = make(failed);
		for (let i = 0; i < 30; i++) {
			decoder.decode(new Uint8Array(1), i);
			last().fail();
		}
		expect(failed).toHaveBeenCalledOnce();
		expect(FakeCodec.made).toHaveLength(21);

		const other = make();
		other.decode(new Uint8Array(1), 0);
		other.close();
		last().emit();
		expect(places).toEqual([]);
	});
});
