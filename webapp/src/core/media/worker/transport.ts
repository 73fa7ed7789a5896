/** Carries one MoQT session over WebTransport: the machine decides, this moves bytes. */

import { Kind, type Record, Session } from "../wasm/session.ts";

/** What the session's owner is told. */
export interface Owner {
	/** A record that is none of the transport's business: `Ready` to `Packet`. */
	record(record: Record): void;
	/** Once, when it is over. `code`: either side's session termination code, or null when the transport died. */
	closed(code: number | null, detail: string): void;
}

/** Packets that wait for the transport; older ones are worthless by then (240 ms). */
const DATAGRAMS_WAITING_MAX = 12;
/** A packet that waited this long is dropped by the browser. */
const DATAGRAM_AGE_MS = 200;
/** Incoming datagrams that wait for us while the Worker is busy: a second of a few voices. */
const DATAGRAMS_INCOMING_MAX = 256;
/** An Opus packet of 32 kbit/s with its headers fits many times; what is smaller than this is no path for voice. */
const DATAGRAM_BYTES_MIN = 400;
/** Half a second of voice: what waits on a stream beyond it would come too late. */
const VOICE_BYTES_WAITING_MAX = 3_000;
/** Bytes that may wait on one stream; a relay that reads nothing is as good as gone. */
const STREAM_BYTES_WAITING_MAX = 256 * 1024;

type Writer = WritableStreamDefaultWriter<Uint8Array>;

/** Our end of a stream. What is written before it is open waits. */
interface Outgoing {
	writer: Promise<Writer>;
	waiting: number;
}

export class Transport {
	readonly #web: WebTransport;
	readonly #owner: Owner;
	readonly #session: Session;
	readonly #outgoing = new Map<number, Outgoing>();
	readonly #incoming = new Map<number, ReadableStreamDefaultReader<Uint8Array>>();
	readonly #datagrams: Writer;
	readonly #voice: "stream" | undefined;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#pending = 0;
	#dropped = 0;
	#over = false;

	private constructor(
		web: WebTransport,
		module: WebAssembly.Module,
		voice: "stream" | undefined,
		token: string,
		owner: Owner,
	) {
		this.#web = web;
		this.#voice = voice;
		this.#owner = owner;
		this.#datagrams = tune(web).getWriter();
		// A closed session rejects it; writes have their own handlers.
		this.#datagrams.closed.catch(() => {});
		this.#session = new Session(module, token, performance.now());
		web.closed.then(
			(info) => this.#end(info?.closeCode ?? 0, info?.reason ?? ""),
			(error: unknown) => this.#end(null, String(error)),
		);
		void this.#read(web.datagrams.readable, (bytes) => this.#session.datagram(bytes, performance.now()));
		void this.#accept(web.incomingBidirectionalStreams, ({ readable, writable }) => {
			const id = this.#session.acceptBi();
			this.#outgoing.set(id, { writer: Promise.resolve(writable.getWriter()), waiting: 0 });
			void this.#receive(id, readable);
		});
		void this.#accept(web.incomingUnidirectionalStreams, (readable) => {
			void this.#receive(this.#session.acceptUni(), readable);
		});
		this.drain();
	}

	/** Opens the session; rejects when the handshake fails or takes longer than `timeoutMs`. */
	static async open(
		url: string,
		hashes: readonly string[],
		token: string,
		module: WebAssembly.Module,
		voice: "stream" | undefined,
		owner: Owner,
		timeoutMs: number,
	): Promise<Transport> {
		const web = new WebTransport(address(url), {
			...(hashes.length > 0 && { serverCertificateHashes: hashes.map(fingerprint) }),
			...({ protocols: ["moqt-18"] } as object),
			congestionControl: "low-latency",
		});
		// Both are rejected when the handshake fails; one of them is enough.
		web.closed.catch(() => {});
		const timer = setTimeout(() => web.close(), timeoutMs);
		try {
			await web.ready;
		} finally {
			clearTimeout(timer);
		}
		return new Transport(web, module, voice, token, owner);
	}

	/** The machine; call {@link drain} after using it. */
	get session(): Session {
		return this.#session;
	}

	get maxDatagramBytes(): number {
		return this.#web.datagrams.maxDatagramSize;
	}

	/** How voice travels. */
	get voice(): "datagram" | "stream" {
		return this.#voice ?? (this.maxDatagramBytes >= DATAGRAM_BYTES_MIN ? "datagram" : "stream");
	}

	/** Packets given up because the way out was full. */
	get dropped(): number {
		return this.#dropped;
	}

	/** Whether the way out is so full that voice would only grow old. */
	get isCongested(): boolean {
		if (this.#pending >= DATAGRAMS_WAITING_MAX) return true;
		for (const stream of this.#outgoing.values()) {
			if (stream.waiting > VOICE_BYTES_WAITING_MAX) return true;
		}
		return false;
	}

	/** Counts a packet that was not even tried. */
	drop(): void {
		this.#dropped++;
	}

	/** The transport's own estimate in ms, where the browser has one. */
	async roundTripMs(): Promise<number | null> {
		try {
			const stats = await (this.#web as { getStats?: () => Promise<{ smoothedRtt?: number }> }).getStats?.();
			return stats?.smoothedRtt ?? null;
		} catch {
			return null; // Firefox throws NOT_IMPLEMENTED.
		}
	}

	/** Carries out what the machine wants. */
	drain(): void {
		for (let record = this.#session.poll(); record !== null && !this.#over; record = this.#session.poll()) {
			this.#carryOut(record);
		}
		clearTimeout(this.#timer);
		const wait = this.#session.deadline - performance.now();
		if (this.#over || wait === Number.POSITIVE_INFINITY) return;
		this.#timer = setTimeout(() => {
			this.#session.timeout(performance.now());
			this.drain();
		}, Math.max(0, wait));
	}

	/** Ends the session politely; `closed` is not called. */
	close(): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#timer);
		this.#web.close({ closeCode: 0, reason: "" });
	}

	#carryOut(record: Record): void {
		switch (record.kind) {
			case Kind.OpenBi:
				this.#open(record.id, true);
				return;
			case Kind.OpenUni:
				this.#open(record.id, false);
				return;
			case Kind.Write:
				this.#write(record.id, record.bytes);
				return;
			case Kind.Finish:
				this.#finish(record.id, (writer) => writer.close());
				return;
			case Kind.Reset:
				this.#finish(record.id, (writer) => writer.abort(streamError(record.code)));
				return;
			case Kind.Stop:
				this.#incoming.get(record.id)?.cancel(streamError(record.code)).catch(() => {});
				this.#incoming.delete(record.id);
				return;
			case Kind.Close: {
				const reason = new TextDecoder().decode(record.bytes);
				this.#web.close({ closeCode: record.code, reason: reason.slice(0, 200) });
				this.#end(record.code, reason);
				return;
			}
			case Kind.Datagram:
				this.#send(record.bytes);
				return;
			default:
				this.#owner.record(record);
		}
	}

	#open(id: number, both: boolean): void {
		const opened = both
			? this.#web.createBidirectionalStream().then((stream) => {
					void this.#receive(id, stream.readable);
					return stream.writable.getWriter();
				})
			: this.#web.createUnidirectionalStream().then((stream) => stream.getWriter());
		this.#outgoing.set(id, { writer: opened, waiting: 0 });
		opened.then(
			(writer) => writer.closed.catch((error: unknown) => this.#stopped(id, error)),
			(error: unknown) => this.#stopped(id, error),
		);
	}

	#write(id: number, bytes: Uint8Array<ArrayBuffer>): void {
		const stream = this.#outgoing.get(id);
		if (stream === undefined) return;
		stream.waiting += bytes.length;
		if (stream.waiting > STREAM_BYTES_WAITING_MAX) {
			this.#web.close({ closeCode: 0, reason: "" });
			this.#end(null, "the relay does not read");
			return;
		}
		stream.writer
			.then((writer) => writer.write(bytes))
			.then(
				() => {
					stream.waiting -= bytes.length;
				},
				() => {},
			);
	}

	#finish(id: number, how: (writer: Writer) => Promise<void>): void {
		this.#outgoing
			.get(id)
			?.writer.then(how)
			.catch(() => {});
		this.#outgoing.delete(id);
	}

	/** Our direction of a stream broke: the relay stopped it, or the session is over. */
	#stopped(id: number, error: unknown): void {
		if (this.#over || !this.#outgoing.delete(id)) return;
		this.#session.stop(id, streamCode(error), performance.now());
		this.drain();
	}

	#send(bytes: Uint8Array<ArrayBuffer>): void {
		if (this.isCongested || bytes.length > this.maxDatagramBytes) {
			this.#dropped++;
			return;
		}
		this.#pending++;
		const done = () => {
			this.#pending--;
		};
		this.#datagrams.write(bytes).then(done, done);
	}

	async #accept<T>(streams: ReadableStream<T>, use: (stream: T) => void): Promise<void> {
		await this.#read(streams, use);
	}

	/** Reads until the session ends. */
	async #read<T>(from: ReadableStream<T>, use: (value: T) => void): Promise<void> {
		const reader = from.getReader();
		try {
			for (let next = await reader.read(); !next.done; next = await reader.read()) {
				if (this.#over) return;
				use(next.value);
				this.drain();
			}
		} catch {
			// The session is over, and `closed` says why.
		}
	}

	async #receive(id: number, from: ReadableStream<Uint8Array>): Promise<void> {
		const reader = from.getReader();
		this.#incoming.set(id, reader);
		try {
			for (let next = await reader.read(); !next.done; next = await reader.read()) {
				if (this.#over) return;
				this.#session.stream(id, next.value, false, performance.now());
				this.drain();
			}
			if (!this.#over && this.#incoming.has(id)) this.#session.stream(id, new Uint8Array(0), true, performance.now());
		} catch (error) {
			if (!this.#over && this.#incoming.has(id)) this.#session.reset(id, streamCode(error), performance.now());
		}
		this.#incoming.delete(id);
		if (!this.#over) this.drain();
	}

	#end(code: number | null, detail: string): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#timer);
		this.#owner.closed(code, detail);
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
