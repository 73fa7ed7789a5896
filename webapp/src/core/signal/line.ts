/**
 * The signaling socket: registers, asks, answers pings, notices death, comes back and resumes.
 *
 * Knows messages, not calls. Every timer is one of `setTimeout`'s; the socket can be replaced.
 */
import type { Code, Event, Registered, Request, Resume, ServerMessage } from "../schema.ts";

export const SUBPROTOCOL = "moqrelay.v1";

/** The server pings every 15 s; two lost pings and a little. */
const SILENCE_MS_MAX = 35_000;
/** From opening the socket to the answer to `register`. */
const REGISTER_MS_MAX = 8_000;
/** A request's answer; what is asked without a socket waits for it, too. */
const REQUEST_MS_MAX = 10_000;
/** Requests without an answer; a person cannot have more going. */
const PENDING_MAX = 64;
/** The first retry comes at once, so that calls survive within the server's 10 s. */
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 10_000;
/** The same while somebody waits to be back in a call or a room. */
const RETRY_MS_MAX_HURRIED = 2_000;
/** After "too many messages" the server wants to be left alone. */
const RETRY_MS_SCOLDED = 5_000;

/** What is used of a WebSocket. */
export interface Socket {
	send(text: string): void;
	close(code?: number, reason?: string): void;
	onopen: (() => void) | null;
	onmessage: ((event: { data: unknown }) => void) | null;
	onclose: ((event: { code: number; reason: string }) => void) | null;
}

/** Why the line does not come back by itself. */
export type StopReason =
	/** The token does not hold, or its time is over: get another one and `start` again. */
	| "unauthorized"
	| "expired"
	/** Another page took the session over. */
	| "replaced"
	/** The server speaks another version of the protocol: reload the page. */
	| "unsupported_version";

export type LineState =
	| { readonly name: "idle" }
	/** `attempt` 0 is the first since the last success. */
	| { readonly name: "connecting"; readonly attempt: number }
	| { readonly name: "ready" }
	/** `retryAt` as `Date.now` counts. */
	| { readonly name: "waiting"; readonly attempt: number; readonly retryAt: number }
	| { readonly name: "stopped"; readonly reason: StopReason };

/** Why a request came to nothing. */
export type RequestFailure = Code  | "timeout" | "lost" | "queue_full";

export class RequestError extends Error {
	constructor(
		readonly code: RequestFailure,
		readonly reason = "",
	) {
		super(reason === "" ? code : `${code}: ${reason}`);
		this.name = "RequestError";
	}
}

export interface LineHandlers {
	state(state: LineState): void;
	/** Calls and presence as they are now; events that were missed follow when `resumed`. */
	registered(registered: Registered): void;
	event(event: Event): void;
	/** Something without an id was wrong. */
	error(code: Code, reason: string): void;
}

export interface LineOptions {
	readonly url: string;
	readonly handlers: LineHandlers;
	readonly open?: (url: string, protocol: string) => Socket;
	/** Whether somebody is in a call or a room, and wants to be back there soon. */
	readonly hurried?: () => boolean;
	/** 0 to 1, for spreading retries. */
	readonly random?: () => number;
}

/** What an `ok` carries; which of it, the request says. */
export type Done = { readonly call?: string } & Readonly<Record<string, unknown>>;

type PlainRequest = Exclude<Request, { type: "register" }>;

interface Pending {
	readonly text: string;
	readonly resolve: (done: Done) => void;
	readonly reject: (error: RequestError) => void;
	readonly timer: ReturnType<typeof setTimeout>;
	sent: boolean;
}

export class Line {
	readonly #options: LineOptions;
	#state: LineState = { name: "idle" };
	#token = "";
	#socket: Socket | null = null;
	#registerId = 0;
	#lastId = 0;
	#attempt = 0;
	#resume: Resume | null = null;
	/** In the order of their ids. */
	readonly #pending = new Map<number, Pending>();
	#watch: ReturnType<typeof setTimeout> | undefined;
	#retry: ReturnType<typeof setTimeout> | undefined;

	constructor(options: LineOptions) {
		this.#options = options;
	}

	get state(): LineState {
		return this.#state;
	}

	/** What another page of this tab needs to go on with the session. */
	get resume(): Resume | null {
		return this.#resume;
	}

	/** Connects and stays connected until `stop`. */
	start(token: string, resume: Resume | null = this.#resume): void {
		this.#token = token;
		this.#resume = resume;
		this.#attempt = 0;
		this.#connect();
	}

	/** A renewed token counts from the next registration. */
	useToken(token: string): void {
		this.#token = token;
	}

	/** Tries now instead of after the pause, for example when the network is back. */
	retryNow(): void {
		if (this.#state.name === "waiting") this.#connect();
	}

	/** Ends the session: nothing can be resumed. */
	stop(): void {
		this.#drop(1000);
		this.#resume = null;
		this.#failPending("lost");
		this.#enter({ name: "idle" });
	}

	/**
	 * Asks. Without a socket the request waits for the next one, but not for longer than any other.
	 * Rejects with a {@link RequestError}.
	 */
	request(request: PlainRequest): Promise<Done> {
		if (this.#pending.size >= PENDING_MAX) return Promise.reject(new RequestError("queue_full"));
		const id = ++this.#lastId;
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => this.#settle(id)?.reject(new RequestError("timeout")), REQUEST_MS_MAX);
			const text = JSON.stringify({ ...request, id });
			const pending = { text, resolve, reject, timer, sent: false };
			this.#pending.set(id, pending);
			if (this.#state.name === "ready") this.#send(pending);
		});
	}

	#send(pending: Pending): void {
		pending.sent = true;
		this.#socket?.send(pending.text);
	}

	#connect(): void {
		this.#drop(1000);
		this.#enter({ name: "connecting", attempt: this.#attempt });
		const open = this.#options.open ?? ((url, protocol) => new WebSocket(url, protocol) as Socket);
		let socket: Socket;
		try {
			socket = open(this.#options.url, SUBPROTOCOL);
		} catch {
			this.#wait(RETRY_MS_MIN);
			return;
		}
		this.#socket = socket;
		this.#watchFor(REGISTER_MS_MAX);
		socket.onopen = () => this.#register(socket);
		socket.onmessage = ({ data }) => {
			if (typeof data === "string") this.#receive(data);
		};
		socket.onclose = ({ code }) => this.#closed(code);
	}

	#register(socket: Socket): void {
		this.#registerId = ++this.#lastId;
		const resume = this.#resume === null ? {} : { resume: this.#resume };
		socket.send(JSON.stringify({ type: "register", id: this.#registerId, token: this.#token, ...resume }));
	}

	#receive(text: string): void {
		const message = parse(text);
		if (message === null) return;
		if (this.#state.name === "ready") this.#watchFor(SILENCE_MS_MAX);
		switch (message.type) {
			case "ping":
				this.#socket?.send('{"type":"pong"}');
				return;
			case "ok": {
				const { type: _, id, ...done } = message;
				if (id === this.#registerId) this.#registered(message as unknown as Registered);
				else this.#settle(id)?.resolve(done);
				return;
			}
			case "refused":
				if (message.id === this.#registerId) this.#registerRefused(message.code);
				else this.#settle(message.id)?.reject(new RequestError(message.code, message.reason));
				return;
			case "error":
				this.#options.handlers.error(message.code, message.reason);
				return;
			case "bye":
				// The close that follows says the same; what calls there were come as `ended`.
				return;
			default:
				this.#event(message);
		}
	}

	/** What a resume replays may have arrived before. */
	#event(event: Event & { seq: number }): void {
		if (this.#resume !== null) {
			if (event.seq <= this.#resume.seq) return;
			this.#resume = { ...this.#resume, seq: event.seq };
		}
		this.#options.handlers.event(event);
	}

	#registered(registered: Registered): void {
		const seq = registered.resumed ? (this.#resume?.seq ?? 0) : 0;
		this.#resume = { session: registered.session, key: registered.key, seq };
		this.#attempt = 0;
		this.#watchFor(SILENCE_MS_MAX);
		// What the old session was asked, the new one knows nothing of.
		if (!registered.resumed) this.#failPending("lost", ({ sent }) => sent);
		// Before the handlers, which may ask for more: each request goes out once.
		for (const pending of this.#pending.values()) this.#send(pending);
		this.#enter({ name: "ready" });
		this.#options.handlers.registered(registered);
	}

	#registerRefused(code: Code): void {
		switch (code) {
			case "unauthorized":
			case "expired":
			case "unsupported_version":
				this.#halt(code);
				return;
			case "rate_limited":
			case "too_many":
				this.#wait(RETRY_MS_SCOLDED);
				return;
			default:
				// A session that cannot be taken over is not worth a second try.
				this.#resume = null;
				this.#wait(RETRY_MS_MIN);
		}
	}

	#closed(code: number): void {
		this.#socket = null;
		switch (code) {
			case 4003:
				this.#halt("unauthorized");
				return;
			case 4009:
				this.#resume = null;
				this.#halt("replaced");
				return;
			case 4008:
				this.#wait(RETRY_MS_SCOLDED);
				return;
			default:
				this.#wait(RETRY_MS_MIN);
		}
	}

	#halt(reason: StopReason): void {
		this.#drop(1000);
		this.#failPending("lost");
		this.#enter({ name: "stopped", reason });
	}

	#wait(leastMs: number): void {
		this.#drop(1000);
		const random = this.#options.random ?? Math.random;
		const most = this.#options.hurried?.() === true ? RETRY_MS_MAX_HURRIED : RETRY_MS_MAX;
		const doubled = Math.min(most, RETRY_MS_MIN * 2 ** this.#attempt);
		const pauseMs = Math.round(Math.max(leastMs, doubled) * (0.75 + random() * 0.5));
		this.#attempt += 1;
		this.#retry = setTimeout(() => this.#connect(), pauseMs);
		this.#enter({ name: "waiting", attempt: this.#attempt, retryAt: Date.now() + pauseMs });
	}

	/** A socket whose network is gone may take minutes to say so. */
	#watchFor(ms: number): void {
		clearTimeout(this.#watch);
		this.#watch = setTimeout(() => this.#wait(RETRY_MS_MIN), ms);
	}

	#drop(code: number): void {
		clearTimeout(this.#watch);
		clearTimeout(this.#retry);
		const socket = this.#socket;
		if (socket === null) return;
		this.#socket = null;
		socket.onopen = null;
		socket.onmessage = null;
		socket.onclose = null;
		socket.close(code);
	}

	#settle(id: number): Pending | undefined {
		const pending = this.#pending.get(id);
		if (pending === undefined) return undefined;
		this.#pending.delete(id);
		clearTimeout(pending.timer);
		return pending;
	}

	#failPending(code: RequestFailure, which: (pending: Pending) => boolean = () => true): void {
		for (const [id, pending] of [...this.#pending]) {
			if (which(pending)) this.#settle(id)?.reject(new RequestError(code));
		}
	}

	#enter(state: LineState): void {
		this.#state = state;
		this.#options.handlers.state(state);
	}
}

function parse(text: string): ServerMessage | null {
	try {
		const message: unknown = JSON.parse(text);
		return typeof message === "object" && message !== null && "type" in message ? (message as ServerMessage) : null;
	} catch {
		return null;
	}
}
