/** The transport of choice: WebTransport, over UDP. */

import { Pace } from "./pace.ts";
import {
	type Arrivals,
	BULK_BYTES_WAITING_MAX,
	BULK_LATE_MS,
	type OpenOptions,
	REASON_CHARS_MAX,
	STREAM_BYTES_WAITING_MAX,
	type Transport,
	VOICE_BYTES_WAITING_MAX,
} from "./transport.ts";

/** Packets that wait for the transport; older ones are worthless by then (240 ms). */
const DATAGRAMS_WAITING_MAX = 12;
/** A packet that waited this long is dropped by the browser. */
const DATAGRAM_AGE_MS = 200;
/** Incoming datagrams that wait for us while the Worker is busy: a second of a few voices. */
const DATAGRAMS_INCOMING_MAX = 256;

/** What goes out at a time where the line is narrow: a packet. */
const CHUNK_BYTES_MAX = 1_200;
/** How often it is looked whether more may go out: a packet's time by a line of a Mbit/s. */
const TURN_MS = 10;

type Writer = WritableStreamDefaultWriter<Uint8Array>;

/** Our end of a stream. What is written before it is open waits. */
interface Outgoing {
	readonly writer: Promise<Writer>;
	readonly bulk: boolean;
	/** Bytes that were written and not taken, by us or the browser. */
	waiting: number;
	/** Sizes and times of the writes that wait, the oldest first. */
	readonly writes: number[];
}

export async function openWebTransport({ url, hashes, signal, stands }: OpenOptions): Promise<void> {
	const web = new WebTransport(address(url), {
		...(hashes.length > 0 && { serverCertificateHashes: hashes.map(fingerprint) }),
		...({ protocols: ["moqt-18"] } as object),
		congestionControl: "low-latency",
	});
	// Both are rejected when the handshake fails; one of them is enough.
	web.closed.catch(() => {});
	const giveUp = () => web.close();
	signal.addEventListener("abort", giveUp);
	try {
		await web.ready;
		signal.throwIfAborted();
	} finally {
		signal.removeEventListener("abort", giveUp);
	}
	new Carrier(web, stands);
}

class Carrier implements Transport {
	readonly way = "webtransport";
	readonly #web: WebTransport;
	readonly #arrivals: Arrivals;
	readonly #outgoing = new Map<number, Outgoing>();
	/** Streams of pictures that have ended and still hold some. */
	readonly #ending = new Set<Outgoing>();
	readonly #incoming = new Map<number, ReadableStreamDefaultReader<Uint8Array>>();
	readonly #datagrams: Writer;
	readonly pace = new Pace();
	/** What waits for its turn on streams of pictures, in order; without bytes: the stream's end. */
	#queue: { readonly stream: Outgoing; readonly bytes: Uint8Array<ArrayBuffer> | null }[] = [];
	#turn: ReturnType<typeof setTimeout> | undefined;
	#pending = 0;
	#over = false;

	constructor(web: WebTransport, stands: (transport: Transport) => Arrivals) {
		this.#web = web;
		this.#datagrams = tune(web).getWriter();
		// A closed session rejects it; writes have their own handlers.
		this.#datagrams.closed.catch(() => {});
		this.#arrivals = stands(this);
		web.closed.then(
			(info) => this.#end(info?.closeCode ?? 0, info?.reason ?? ""),
			(error: unknown) => this.#end(null, String(error)),
		);
		void this.#read(web.datagrams.readable, (bytes) => this.#arrivals.datagram(bytes));
		void this.#read(web.incomingBidirectionalStreams, ({ readable, writable }) => {
			const id = this.#arrivals.acceptBi();
			this.#outgoing.set(id, { writer: Promise.resolve(writable.getWriter()), bulk: false, waiting: 0, writes: [] });
			void this.#receive(id, readable);
		});
		void this.#read(web.incomingUnidirectionalStreams, (readable) => {
			void this.#receive(this.#arrivals.acceptUni(), readable);
		});
	}

	get datagramBytesMax(): number {
		return this.#web.datagrams.maxDatagramSize;
	}

	get isCongested(): boolean {
		if (this.#pending >= DATAGRAMS_WAITING_MAX) return true;
		for (const stream of this.#outgoing.values()) {
			if (!stream.bulk && stream.waiting > VOICE_BYTES_WAITING_MAX) return true;
		}
		return false;
	}

	get bulkWaiting(): { bytes: number; ms: number } {
		let [bytes, oldest] = [0, Number.POSITIVE_INFINITY];
		for (const { bulk, waiting, writes } of [...this.#outgoing.values(), ...this.#ending]) {
			if (!bulk || waiting === 0) continue;
			bytes += waiting;
			oldest = Math.min(oldest, writes[0] ?? oldest);
		}
		return { bytes, ms: bytes === 0 ? 0 : Math.max(0, performance.now() - oldest) };
	}

	open(id: number, both: boolean, bulk = false): void {
		const opened = both
			? this.#web.createBidirectionalStream().then((stream) => {
					void this.#receive(id, stream.readable);
					return stream.writable.getWriter();
				})
			: this.#web.createUnidirectionalStream().then((stream) => stream.getWriter());
		this.#outgoing.set(id, { writer: opened, bulk, waiting: 0, writes: [] });
		opened.then(
			(writer) => writer.closed.catch((error: unknown) => this.#stopped(id, error)),
			(error: unknown) => this.#stopped(id, error),
		);
	}

	write(id: number, bytes: Uint8Array<ArrayBuffer>): void {
		const stream = this.#outgoing.get(id);
		if (stream === undefined) return;
		stream.waiting += bytes.length;
		stream.writes.push(performance.now());
		if (stream.bulk && stream.waiting > BULK_BYTES_WAITING_MAX) {
			this.reset(id, 0);
			this.#arrivals.stop(id, 0);
			return;
		}
		if (!stream.bulk && stream.waiting > STREAM_BYTES_WAITING_MAX) {
			this.#web.close({ closeCode: 0, reason: "" });
			this.#end(null, "the relay does not read");
			return;
		}
		if (stream.bulk) {
			for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
				if (at > 0) stream.writes.push(performance.now());
				this.#queue.push({ stream, bytes: bytes.subarray(at, at + CHUNK_BYTES_MAX) });
			}
			this.#takeTurns();
		} else {
			this.#write(stream, bytes);
		}
	}

	finish(id: number): void {
		const stream = this.#outgoing.get(id);
		if (stream?.bulk !== true) {
			this.#last(id, (writer) => writer.close());
			return;
		}
		if (stream.waiting > 0) this.#finishSoon(stream);
		this.#outgoing.delete(id);
		this.#queue.push({ stream, bytes: null });
		this.#takeTurns();
	}

	giveUpBulk(): void {
		for (const [id, { bulk }] of [...this.#outgoing]) {
			if (!bulk) continue;
			this.reset(id, 0);
			this.#arrivals.stop(id, 0);
		}
		for (const stream of this.#ending) this.#drop(stream);
	}

	/** Pictures go out as fast as the line carries them. */
	#takeTurns(): void {
		clearTimeout(this.#turn);
		const now = performance.now();
		for (let [next] = this.#queue; next !== undefined; [next] = this.#queue) {
			const { stream, bytes } = next;
			if (bytes !== null && this.pace.room(now) < bytes.length) {
				this.#turn = setTimeout(() => this.#takeTurns(), TURN_MS);
				return;
			}
			this.#queue.shift();
			if (bytes === null) {
				stream.writer.then((writer) => writer.close()).catch(() => {});
			} else {
				this.pace.sent(bytes.length, now);
				this.#write(stream, bytes);
			}
		}
	}

	#write(stream: Outgoing, bytes: Uint8Array<ArrayBuffer>): void {
		stream.writer
			.then((writer) => writer.write(bytes))
			.then(
				() => {
					stream.waiting -= bytes.length;
					stream.writes.shift();
				},
				() => {},
			);
	}

	/** Nothing more of a stream goes out. */
	#drop(stream: Outgoing): void {
		this.#ending.delete(stream);
		this.#queue = this.#queue.filter((waiting) => waiting.stream !== stream);
		stream.writer.then((writer) => writer.abort(streamError(0))).catch(() => {});
	}

	/** The rest of an ended stream of pictures goes out soon or not at all. */
	#finishSoon(stream: Outgoing): void {
		this.#ending.add(stream);
		const over = () => {
			clearTimeout(timer);
			this.#ending.delete(stream);
		};
		const timer = setTimeout(() => {
			over();
			this.#drop(stream);
		}, BULK_LATE_MS);
		stream.writer.then((writer) => writer.closed).then(over, over);
	}

	reset(id: number, code: number): void {
		const stream = this.#outgoing.get(id);
		if (stream?.bulk === true) this.#queue = this.#queue.filter((waiting) => waiting.stream !== stream);
		this.#last(id, (writer) => writer.abort(streamError(code)));
	}

	stop(id: number, code: number): void {
		this.#incoming.get(id)?.cancel(streamError(code)).catch(() => {});
		this.#incoming.delete(id);
	}

	datagram(bytes: Uint8Array<ArrayBuffer>): boolean {
		if (this.isCongested || bytes.length > this.datagramBytesMax) return false;
		this.#pending++;
		const done = () => {
			this.#pending--;
		};
		this.#datagrams.write(bytes).then(done, done);
		return true;
	}

	async roundTripMs(): Promise<number | null> {
		try {
			const stats = await (this.#web as { getStats?: () => Promise<{ smoothedRtt?: number }> }).getStats?.();
			return stats?.smoothedRtt ?? null;
		} catch {
			return null; // Firefox throws NOT_IMPLEMENTED.
		}
	}

	close(code: number, reason: string): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#turn);
		this.#web.close({ closeCode: code, reason: reason.slice(0, REASON_CHARS_MAX) });
	}

	#last(id: number, how: (writer: Writer) => Promise<void>): void {
		this.#outgoing
			.get(id)
			?.writer.then(how)
			.catch(() => {});
		this.#outgoing.delete(id);
	}

	/** Our direction of a stream broke: the relay stopped it, or the session is over. */
	#stopped(id: number, error: unknown): void {
		const stream = this.#outgoing.get(id);
		if (this.#over || !this.#outgoing.delete(id)) return;
		this.#queue = this.#queue.filter((waiting) => waiting.stream !== stream);
		this.#arrivals.stop(id, streamCode(error));
	}

	/** Reads until the session ends. */
	async #read<T>(from: ReadableStream<T>, use: (value: T) => void): Promise<void> {
		const reader = from.getReader();
		try {
			for (let next = await reader.read(); !next.done; next = await reader.read()) {
				if (this.#over) return;
				use(next.value);
			}
		} catch {
			// The session is over, and `closed` says why.
		}
	}

	async #receive(id: number, from: ReadableStream<Uint8Array>): Promise<void> {
		const reader = from.getReader();
		this.#incoming.set(id, reader);
		const wanted = () => !this.#over && this.#incoming.has(id);
		try {
			for (let next = await reader.read(); !next.done; next = await reader.read()) {
				if (this.#over) return;
				this.#arrivals.stream(id, next.value, false);
			}
			if (wanted()) this.#arrivals.stream(id, new Uint8Array(0), true);
		} catch (error) {
			if (wanted()) this.#arrivals.reset(id, streamCode(error));
		}
		this.#incoming.delete(id);
	}

	#end(code: number | null, detail: string): void {
		clearTimeout(this.#turn);
		if (this.#over) return;
		this.#over = true;
		this.#arrivals.closed(code, detail);
	}
}

/** Sets the datagram queues up and returns where to write; browsers differ in their names. */
function tune(web: WebTransport): WritableStream<Uint8Array> {
	const datagrams = web.datagrams as WebTransportDatagramDuplexStream & {
		createWritable?: () => WritableStream<Uint8Array>;
	};
	try {
		datagrams.incomingHighWaterMark = DATAGRAMS_INCOMING_MAX;
		datagrams.outgoingHighWaterMark = DATAGRAMS_WAITING_MAX;
		datagrams.outgoingMaxAge = DATAGRAM_AGE_MS;
	} catch {
		// Wishes, not needs.
	}
	return datagrams.writable ?? datagrams.createWritable?.();
}

/** The draft is named in the query too: Firefox offers no subprotocol. */
function address(url: string): string {
	const full = new URL(url);
	if (!full.searchParams.has("moqt")) full.searchParams.set("moqt", "18");
	return full.href;
}

function fingerprint(hex: string): WebTransportHash {
	const pairs = hex.match(/../g) ?? [];
	return { algorithm: "sha-256", value: Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16)) };
}

/** What a stream is aborted with. Chromium's constructor has an older form than Firefox's. */
function streamError(code: number): unknown {
	const options = { source: "stream", streamErrorCode: code } as WebTransportErrorOptions;
	try {
		return new WebTransportError("", options);
	} catch {
		return new (WebTransportError as unknown as new (init: object) => unknown)(options);
	}
}

function streamCode(error: unknown): number {
	return (error as { streamErrorCode?: number | null }).streamErrorCode ?? 0;
}
