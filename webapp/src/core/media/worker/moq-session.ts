/** One MoQ session with the relay: the machine decides, the transport moves bytes. */

import type { Way } from "../api.ts";
import { Kind, type Location, type Offer, type Picture, type Place, type Record, Session } from "../wasm/session.ts";
import type { Open, Transport } from "./transport.ts";

/** What the session's owner is told. */
export interface SessionOwner {
	/** SETUP came: it may be used. */
	ready(session: MoqSession): void;
	/** A record that is none of the transport's business, from `Live` on. */
	record(session: MoqSession, record: Record): void;
	/** Once, when it is over or did not come to stand. `code`: either side's session termination code. */
	closed(code: number | null, detail: string): void;
}

export interface SessionOptions {
	readonly open: Open;
	readonly url: string;
	readonly hashes: readonly string[];
	readonly token: string;
	readonly module: WebAssembly.Module;
	/** Voice on streams even where datagrams would do. */
	readonly voice: "stream" | undefined;
	readonly owner: SessionOwner;
}

/** An Opus packet of 32 kbit/s with its headers fits many times; what is smaller than this is no path for voice. */
const DATAGRAM_BYTES_MIN = 400;

/** Begins to open a session; returns what ends it at any time without a word to the owner. */
export function openSession(options: SessionOptions): () => void {
	const { open, url, hashes, owner } = options;
	const stop = new AbortController();
	let session: MoqSession | null = null;
	open({
		url,
		hashes,
		signal: stop.signal,
		stands: (transport) => {
			session = new MoqSession(transport, options);
			return session.arrivals;
		},
	}).then(
		() => session?.drain(),
		(error: unknown) => {
			if (!stop.signal.aborted) owner.closed(null, String(error));
		},
	);
	return () => {
		stop.abort();
		session?.close();
	};
}

/** How often the line is looked at while pictures go out. */
const LOOK_MS = 30;
/** The last one went out so long ago: nothing of it waits in a line. */
const SHOWN_MS = 1_000;

/** The `code` of `OpenUni` for a stream of pictures. */
const BULK = 1;

export class MoqSession {
	readonly #transport: Transport;
	readonly #machine: Session;
	readonly #voice: "stream" | undefined;
	readonly #owner: SessionOwner;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#dropped = 0;
	#over = false;
	/** When anything came last, and when the oldest ping without an answer was sent, ms. */
	#heardAt = performance.now();
	#pingedAt: number | null = null;
	#pongMs: number | null = null;
	/** While pictures go out. */
	#looks: ReturnType<typeof setInterval> | undefined;
	/** The track of the last of them, and when it was handed in. */
	#shown = { key: 0, at: 0 };

	constructor(transport: Transport, { module, token, voice, owner }: SessionOptions) {
		this.#transport = transport;
		this.#voice = voice;
		this.#owner = owner;
		this.#machine = new Session(module, token, performance.now());
	}

	/** What the transport tells. */
	readonly arrivals = {
		acceptBi: () => this.#machine.acceptBi(),
		acceptUni: () => this.#machine.acceptUni(),
		stream: (id: number, bytes: Uint8Array, fin: boolean) =>
			this.#arrived((now) => this.#machine.stream(id, bytes, fin, now)),
		reset: (id: number, code: number) => this.#arrived((now) => this.#machine.reset(id, code, now)),
		stop: (id: number, code: number) => this.#arrived((now) => this.#machine.stop(id, code, now)),
		datagram: (bytes: Uint8Array) => this.#arrived((now) => this.#machine.datagram(bytes, now)),
		closed: (code: number | null, detail: string) => this.#end(code, detail),
	};

	get way(): Way {
		return this.#transport.way;
	}

	get maxDatagramBytes(): number {
		return this.#transport.datagramBytesMax;
	}

	/** How voice travels. */
	get voice(): "datagram" | "stream" {
		return this.#voice ?? (this.maxDatagramBytes >= DATAGRAM_BYTES_MIN ? "datagram" : "stream");
	}

	get isCongested(): boolean {
		return this.#transport.isCongested;
	}

	/** For how long nothing came, and for how long the relay has owed an answer, ms. */
	silence(now: number): { quietMs: number; owedMs: number } {
		return { quietMs: now - this.#heardAt, owedMs: this.#pingedAt === null ? 0 : now - this.#pingedAt };
	}

	/** We slept: what did not come meanwhile is nobody's fault. */
	forgive(now: number): void {
		this.#heardAt = now;
		if (this.#pingedAt !== null) this.#pingedAt = now;
	}

	/** Packets that the transport did not take. */
	get dropped(): number {
		return this.#dropped;
	}

	/** The transport's own estimate, or the last ping's, ms. */
	async roundTripMs(): Promise<number | null> {
		return (await this.#transport.roundTripMs()) ?? this.#pongMs;
	}

	/** False when it is refused here: too many tracks, or the session is closed. */
	subscribe(key: number, offer: Offer, rendezvousMs: number): boolean {
		return this.#do(() => this.#machine.subscribe(key, offer, rendezvousMs));
	}

	publish(key: number, offer: Offer, what: "voice" | "catalog"): boolean {
		const via = what === "voice" ? this.voice : "stream";
		return this.#do(() => this.#machine.publish(key, offer, via, what === "voice"));
	}

	/** Subscribes to pictures, from a new group on. */
	watch(key: number, offer: Offer, rendezvousMs: number, priority: number, timeoutMs: number): boolean {
		return this.#do(() => this.#machine.watch(key, offer, rendezvousMs, priority, timeoutMs));
	}

	/** Subscribes to objects of any kind. */
	follow(key: number, offer: Offer, rendezvousMs: number): boolean {
		return this.#do(() => this.#machine.follow(key, offer, rendezvousMs));
	}

	askGroup(key: number, group: number): boolean {
		return this.#do(() => this.#machine.askGroup(key, group));
	}

	/** Publishes pictures. */
	show(key: number, offer: Offer, priority: number): boolean {
		return this.#do(() => this.#machine.show(key, offer, priority));
	}

	/** Sends a picture; false when the relay wants none now, or none of this group. */
	sendPicture(key: number, place: Place, picture: Picture): boolean {
		this.#shown = { key, at: performance.now() };
		if (this.#transport.pace !== null && !this.#over) this.#looks ??= setInterval(() => this.#lookAtLine(), LOOK_MS);
		return this.#do(() => this.#machine.picture(key, place, picture));
	}

	/** Gives up the group of pictures that is being sent. */
	giveUp(key: number): void {
		this.#do(() => this.#machine.giveUp(key));
	}

	/** Bytes of pictures that wait for the way out, and for how long the oldest of them has, ms. */
	get picturesWaiting(): { bytes: number; ms: number } {
		return this.#transport.bulkWaiting;
	}

	/** What the line carries of pictures, kbit/s, and how long ago it became narrower, ms. */
	get line(): { kbps: number; narrowedMs: number } {
		const { pace } = this.#transport;
		return pace === null
			? { kbps: Number.POSITIVE_INFINITY, narrowedMs: Number.POSITIVE_INFINITY }
			: { kbps: pace.kbps, narrowedMs: pace.narrowedFor(performance.now()) };
	}

	endTrack(key: number): void {
		this.#do(() => this.#machine.end(key));
	}

	/** Sends a packet; false when the relay wants no objects now. */
	sendVoice(key: number, place: Place, at: number, level: number, packet: Uint8Array): boolean {
		return this.#do(() => this.#machine.voice(key, place, at, level, packet));
	}

	/** Sends a group of one object; false when the relay wants none now. */
	sendSingle(key: number, group: number, payload: Uint8Array): boolean {
		return this.#do(() => this.#machine.single(key, group, payload));
	}

	/** Asks for packets of the past of an incoming track: `Packet`s of `key`, then `Ended` with code 0. */
	fetch(key: number, of: number, from: Location, last: Location): boolean {
		return this.#do(() => this.#machine.fetch(key, of, from, last));
	}

	/** Asks the relay for a sign of life by means of a track. */
	ping(key: number): void {
		const now = performance.now();
		if (this.#do(() => this.#machine.ping(key, now))) this.#pingedAt ??= now;
	}

	/** Carries out what the machine wants. */
	drain(): void {
		for (let record = this.#machine.poll(); record !== null && !this.#over; record = this.#machine.poll()) {
			this.#carryOut(record);
		}
		clearTimeout(this.#timer);
		const wait = this.#machine.deadline - performance.now();
		if (this.#over || wait === Number.POSITIVE_INFINITY) return;
		this.#timer = setTimeout(() => {
			this.#machine.timeout(performance.now());
			this.drain();
		}, Math.max(0, wait));
	}

	/** Ends the session politely; the owner is not told. */
	close(): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#timer);
		clearInterval(this.#looks);
		this.#transport.close(0, "");
	}

	/** Asks how long an answer takes while pictures go out. */
	#lookAtLine(): void {
		const now = performance.now();
		const { pace } = this.#transport;
		if (pace === null || now - this.#shown.at > SHOWN_MS) {
			clearInterval(this.#looks);
			this.#looks = undefined;
			return;
		}
		if (pace.look(now) === "give up") {
			this.#transport.giveUpBulk();
			this.drain();
		}
		if (!pace.wantsAnswer(now)) return;
		if (this.#do(() => this.#machine.ping(this.#shown.key, now))) {
			pace.asked(now);
			this.#pingedAt ??= now;
		}
	}

	#do<T>(call: () => T): T {
		const result = call();
		this.drain();
		return result;
	}

	#arrived(tell: (now: number) => void): void {
		if (this.#over) return;
		this.#heardAt = performance.now();
		tell(this.#heardAt);
		this.drain();
	}

	#carryOut(record: Record): void {
		switch (record.kind) {
			case Kind.OpenBi:
				this.#transport.open(record.id, true);
				return;
			case Kind.OpenUni:
				this.#transport.open(record.id, false, record.code === BULK);
				return;
			case Kind.Write:
				this.#transport.write(record.id, record.bytes);
				return;
			case Kind.Finish:
				this.#transport.finish(record.id);
				return;
			case Kind.Reset:
				this.#transport.reset(record.id, record.code);
				return;
			case Kind.Stop:
				this.#transport.stop(record.id, record.code);
				return;
			case Kind.Datagram:
				if (!this.#transport.datagram(record.bytes)) this.#dropped++;
				return;
			case Kind.Close: {
				const reason = new TextDecoder().decode(record.bytes);
				this.#transport.close(record.code, reason);
				this.#end(record.code, reason);
				return;
			}
			case Kind.Ready:
				this.#owner.ready(this);
				return;
			case Kind.Pong:
				this.#pongMs = record.at;
				this.#pingedAt = null;
				this.#transport.pace?.answered(record.at, performance.now());
				return;
			default:
				this.#owner.record(this, record);
		}
	}

	#end(code: number | null, detail: string): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#timer);
		clearInterval(this.#looks);
		this.#owner.closed(code, detail);
	}
}
