/** The transport where UDP does not get through: QMux over a WebSocket (`docs/protocol.md`, section 1). */

import { Fallback, PROTOCOLS } from "../wasm/fallback.ts";
import { Kind, type Record } from "../wasm/session.ts";
import {
	type Arrivals,
	BULK_BYTES_WAITING_MAX,
	type Open,
	type OpenOptions,
	REASON_CHARS_MAX,
	STREAM_BYTES_WAITING_MAX,
	type Transport,
	VOICE_BYTES_WAITING_MAX,
} from "./transport.ts";

/** The socket gets no more while it holds this much: what waits in the machine can still be dropped. */
const SOCKET_BYTES_MAX = 2_048;
/** A WebSocket does not say when it has room again, so it is looked at. */
const ROOM_MS = 5;

/** Returns what opens such transports; `module`: that of the session. */
export function webSockets(module: WebAssembly.Module): Open {
	return (options) => openWebSocket(module, options);
}

async function openWebSocket(module: WebAssembly.Module, { url, signal, stands }: OpenOptions): Promise<void> {
	const socket = new WebSocket(url, [...PROTOCOLS]);
	socket.binaryType = "arraybuffer";
	const giveUp = () => socket.close();
	signal.addEventListener("abort", giveUp);
	try {
		await new Promise<void>((resolve, reject) => {
			socket.onopen = () => resolve();
			// The event says nothing of the cause.
			socket.onclose = () => reject(new Error("the WebSocket did not open"));
		});
		signal.throwIfAborted();
	} finally {
		signal.removeEventListener("abort", giveUp);
	}
	const carrier = new Carrier(socket, new Fallback(module, socket.protocol, performance.now()));
	try {
		await carrier.introduced(signal);
	} catch (error) {
		carrier.close(0, "");
		throw error;
	}
	carrier.begin(stands);
}

class Carrier implements Transport {
	readonly way = "websocket";
	/** The mux serves pictures last, and the socket gets little at a time. */
	readonly pace = null;
	readonly #socket: WebSocket;
	readonly #mux: Fallback;
	#arrivals: Arrivals | null = null;
	/** Streams that the relay opened, by the mux's number; and the mux's numbers by the machine's. */
	readonly #ours = new Map<number, { readonly named: number; directions: number }>();
	readonly #theirs = new Map<number, number>();
	/** What came before anybody listened. */
	readonly #early: Record[] = [];
	#timer: ReturnType<typeof setTimeout> | undefined;
	#room: ReturnType<typeof setTimeout> | undefined;
	#changed: () => void = () => {};
	#over = false;
	/** When no pictures waited, as far as anybody looked. */
	#bulkFreeAt = 0;

	constructor(socket: WebSocket, mux: Fallback) {
		this.#socket = socket;
		this.#mux = mux;
		socket.onmessage = ({ data }: MessageEvent<unknown>) => {
			if (!(data instanceof ArrayBuffer)) return;
			this.#mux.message(new Uint8Array(data), performance.now());
			this.#turn();
		};
		socket.onclose = () => {
			this.#mux.lost();
			this.#turn();
		};
		this.#turn();
	}

	/** Resolves once the relay's parameters are here: only then it is known what datagrams it takes. */
	async introduced(signal: AbortSignal): Promise<void> {
		while (this.#mux.datagramBytesMax === 0 && this.#early.length === 0) {
			await new Promise<void>((resolve, reject) => {
				this.#changed = resolve;
				signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
			});
		}
	}

	begin(stands: (transport: Transport) => Arrivals): void {
		this.#arrivals = stands(this);
		for (const record of this.#early.splice(0)) this.#tell(this.#arrivals, record);
		this.#turn();
	}

	get datagramBytesMax(): number {
		return this.#mux.datagramBytesMax;
	}

	get isCongested(): boolean {
		return this.#mux.waitingBytes > VOICE_BYTES_WAITING_MAX;
	}

	get bulkWaiting(): { bytes: number; ms: number } {
		const bytes = this.#mux.bulkWaitingBytes;
		if (bytes === 0) this.#bulkFreeAt = performance.now();
		return { bytes, ms: bytes === 0 ? 0 : performance.now() - this.#bulkFreeAt };
	}

	open(id: number, both: boolean, bulk = false): void {
		this.#do(() => (bulk ? this.#mux.openBulk(id) : this.#mux.open(id, both)));
	}

	write(id: number, bytes: Uint8Array<ArrayBuffer>): void {
		this.#do(() => this.#mux.write(this.#theirs.get(id) ?? id, bytes));
		if (this.#mux.waitingBytes <= STREAM_BYTES_WAITING_MAX && this.#mux.bulkWaitingBytes <= BULK_BYTES_WAITING_MAX) {
			return;
		}
		this.close(0, "");
		this.#arrivals?.closed(null, "the relay does not read");
	}

	finish(id: number): void {
		this.#do(() => this.#mux.finish(this.#theirs.get(id) ?? id));
		this.#ended(this.#theirs.get(id));
	}

	reset(id: number, code: number): void {
		this.#do(() => this.#mux.reset(this.#theirs.get(id) ?? id, code));
		this.#ended(this.#theirs.get(id));
	}

	giveUpBulk(): void {}

	stop(id: number, code: number): void {
		this.#do(() => this.#mux.stop(this.#theirs.get(id) ?? id, code));
		this.#ended(this.#theirs.get(id));
	}

	datagram(bytes: Uint8Array<ArrayBuffer>): boolean {
		if (this.#over) return false;
		const sent = this.#mux.datagram(bytes, performance.now());
		this.#turn();
		return sent;
	}

	async roundTripMs(): Promise<number | null> {
		return this.#mux.roundTripMs;
	}

	close(code: number, reason: string): void {
		if (this.#over) return;
		this.#over = true;
		clearTimeout(this.#timer);
		clearTimeout(this.#room);
		this.#mux.close(code, reason.slice(0, REASON_CHARS_MAX));
		const farewell = this.#mux.transmit(performance.now());
		if (farewell !== null && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(farewell);
		this.#socket.close();
	}

	#do(call: () => void): void {
		if (this.#over) return;
		call();
		this.#turn();
	}

	/** Tells what came, sends what may go, and comes back when something is due. */
	#turn(): void {
		for (let record = this.#mux.poll(); record !== null && !this.#over; record = this.#mux.poll()) {
			if (this.#arrivals === null) this.#early.push(record);
			else this.#tell(this.#arrivals, record);
		}
		this.#changed();
		if (this.#over) return;
		this.#send();
		clearTimeout(this.#timer);
		const wait = this.#mux.deadline - performance.now();
		if (wait === Number.POSITIVE_INFINITY) return;
		this.#timer = setTimeout(() => {
			this.#mux.timeout(performance.now());
			this.#turn();
		}, Math.max(0, wait));
	}

	#send(): void {
		clearTimeout(this.#room);
		if (this.#socket.readyState !== WebSocket.OPEN) return;
		while (this.#socket.bufferedAmount <= SOCKET_BYTES_MAX) {
			const message = this.#mux.transmit(performance.now());
			if (message === null) return;
			this.#socket.send(message);
		}
		this.#room = setTimeout(() => this.#turn(), ROOM_MS);
	}

	/** A direction of a stream that the relay opened is over. */
	#ended(id: number | undefined): void {
		const stream = id === undefined ? undefined : this.#ours.get(id);
		if (id === undefined || stream === undefined || --stream.directions > 0) return;
		this.#ours.delete(id);
		this.#theirs.delete(stream.named);
	}

	#tell(arrivals: Arrivals, { kind, id, code, at, bytes }: Record): void {
		const named = this.#ours.get(id)?.named ?? id;
		switch (kind) {
			case Kind.Incoming: {
				const both = code === 1;
				const fresh = both ? arrivals.acceptBi() : arrivals.acceptUni();
				this.#ours.set(id, { named: fresh, directions: both ? 2 : 1 });
				this.#theirs.set(fresh, id);
				return;
			}
			case Kind.Arrived:
				if (code === 1) this.#ended(id);
				arrivals.stream(named, bytes, code === 1);
				return;
			case Kind.WasReset:
				this.#ended(id);
				arrivals.reset(named, code);
				return;
			case Kind.WasStopped:
				this.#ended(id);
				arrivals.stop(named, code);
				return;
			case Kind.DatagramArrived:
				arrivals.datagram(bytes);
				return;
			case Kind.Over: {
				const reason = new TextDecoder().decode(bytes);
				this.close(0, "");
				arrivals.closed(at < 0 ? null : at, reason);
			}
		}
	}
}
