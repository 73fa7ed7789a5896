/** Keeps the phone in touch with the relay: carries out what the `Mover` decides. */

import type { LinkFailure, LinkState, RelayAddress, Way } from "../api.ts";
import { Kind, type Record } from "../wasm/session.ts";
import { type MoqSession, openSession } from "./moq-session.ts";
import { type Input, Mover, type Output, type SessionId } from "./mover.ts";
import type { Open } from "./transport.ts";

export interface LinkOwner {
	state(state: LinkState): void;
	/** A session stands: publish and subscribe there, beside the older one if there is one. */
	use(session: MoqSession): void;
	/** It is not to be used any more. */
	drop(session: MoqSession): void;
	record(session: MoqSession, record: Record): void;
	/** Where the relay is now; null: unknown, use the last address. */
	address(): Promise<RelayAddress | null>;
	/** A track of the session that the relay may be asked about; null: nothing need come by it. */
	pingKey(session: MoqSession): number | null;
}

/** How often it is looked whether anything comes. */
const LOOK_MS = 250;
/** How often the relay is asked for a sign of life while there are tracks. */
const PING_MS = 1_000;
/** Nothing came for so long although an answer is owed for a second: the way is dead. */
const QUIET_MS = 2_000;
const OWED_WHEN_QUIET_MS = 1_000;
/** Something comes, but no answer: only our half is dead. QUIC repeats a lost question within this. */
const OWED_MS = 3_000;
/** A look that comes so late means that we slept, not the relay. */
const SLEPT_MS = 1_500;

/** One session from its first try on. */
interface Attempt {
	readonly stop: () => void;
	session: MoqSession | null;
	used: boolean;
	silent: boolean;
}

export class Link {
	readonly #owner: LinkOwner;
	readonly #module: WebAssembly.Module;
	readonly #voice: "stream" | undefined;
	readonly #ways: Readonly<Partial<globalThis.Record<Way, Open>>>;
	readonly #mover: Mover;
	readonly #attempts = new Map<SessionId, Attempt>();
	#timer: ReturnType<typeof setTimeout> | undefined;
	#looks: ReturnType<typeof setInterval> | undefined;
	#lookedAt = 0;
	#pingedAt = 0;
	#uses = 0;

	/** `ways`: those that this browser has. `voice`: on streams even where datagrams would do. */
	constructor(
		module: WebAssembly.Module,
		ways: Readonly<Partial<globalThis.Record<Way, Open>>>,
		voice: "stream" | undefined,
		owner: LinkOwner,
	) {
		this.#module = module;
		this.#ways = ways;
		this.#voice = voice;
		this.#owner = owner;
		const has = { webtransport: ways.webtransport !== undefined, websocket: ways.websocket !== undefined };
		this.#mover = new Mover(has, Math.random);
	}

	/** The newest session that stands. */
	get session(): MoqSession | null {
		return [...this.#attempts.values()].findLast(({ used }) => used)?.session ?? null;
	}

	/** How often a session followed another one. */
	get moves(): number {
		return Math.max(0, this.#uses - 1);
	}

	connect(address: RelayAddress): void {
		this.#looks ??= setInterval(() => this.#look(), LOOK_MS);
		this.#handle({ type: "connect", address });
	}

	disconnect(): void {
		clearInterval(this.#looks);
		this.#looks = undefined;
		this.#handle({ type: "disconnect" });
	}

	/** The network is back: do not wait for the next try. */
	hurry(): void {
		this.#handle({ type: "online" });
	}

	/** Every track that matters is alive on this session. */
	settled(session: MoqSession): void {
		for (const [id, attempt] of this.#attempts) {
			if (attempt.session === session) this.#handle({ type: "settled", id });
		}
	}

	#handle(input: Input): void {
		this.#carryOut(this.#mover.handle(input, performance.now()));
	}

	#carryOut(outputs: readonly Output[]): void {
		for (const output of outputs) this.#perform(output);
		clearTimeout(this.#timer);
		const wait = this.#mover.deadline - performance.now();
		if (wait === Number.POSITIVE_INFINITY) return;
		this.#timer = setTimeout(() => this.#carryOut(this.#mover.timeout(performance.now())), Math.max(0, wait));
	}

	#perform(output: Output): void {
		switch (output.type) {
			case "open":
				this.#open(output.id, output.way, output.address);
				return;
			case "use": {
				const attempt = this.#attempts.get(output.id);
				if (attempt?.session == null) return;
				attempt.used = true;
				this.#uses++;
				this.#owner.use(attempt.session);
				return;
			}
			case "close": {
				const attempt = this.#attempts.get(output.id);
				if (attempt === undefined) return;
				this.#attempts.delete(output.id);
				if (attempt.used && attempt.session !== null) this.#owner.drop(attempt.session);
				attempt.stop();
				return;
			}
			case "ask":
				void this.#owner.address().then((address) => this.#handle({ type: "address", address }));
				return;
			case "state":
				this.#owner.state(output.state);
		}
	}

	#open(id: SessionId, way: Way, address: RelayAddress): void {
		const open = this.#ways[way];
		const url = way === "websocket" ? address.websocket : address.url;
		if (open === undefined || url === undefined) return;
		// What is told while a session is carried out what it wants waits for that.
		const later = (input: Input) => queueMicrotask(() => this.#attempts.has(id) && this.#handle(input));
		const stop = openSession({
			open,
			url,
			hashes: address.hashes,
			token: address.token ?? "",
			module: this.#module,
			voice: this.#voice,
			owner: {
				ready: (session) => {
					const attempt = this.#attempts.get(id);
					if (attempt !== undefined) attempt.session = session;
					later({ type: "ready", id, voice: session.voice });
				},
				record: (session, record) => {
					if (record.kind !== Kind.GoAway) this.#owner.record(session, record);
					else later({ type: "goaway", id, uri: new TextDecoder().decode(record.bytes) });
				},
				closed: (code, detail) => {
					const stood = this.#attempts.get(id)?.session != null;
					later({ type: "ended", id, reason: failure(code, stood), detail });
				},
			},
		});
		this.#attempts.set(id, { stop, session: null, used: false, silent: false });
	}

	/** Looks whether what should come comes, and asks for it. */
	#look(): void {
		const now = performance.now();
		const slept = now - this.#lookedAt > SLEPT_MS;
		this.#lookedAt = now;
		const pings = now - this.#pingedAt >= PING_MS;
		if (pings) this.#pingedAt = now;
		for (const [id, attempt] of this.#attempts) {
			const { session } = attempt;
			if (session === null || !attempt.used) continue;
			if (slept) session.forgive(now);
			const key = this.#owner.pingKey(session);
			if (pings && key !== null) session.ping(key);
			const { quietMs, owedMs } = session.silence(now);
			const silent = (quietMs > QUIET_MS && owedMs > OWED_WHEN_QUIET_MS) || owedMs > OWED_MS;
			if (silent === attempt.silent) continue;
			attempt.silent = silent;
			this.#handle({ type: silent ? "silent" : "heard", id });
		}
	}
}

/** Session termination codes of draft-18, section 3.5, that say what was wrong. */
const UNAUTHORIZED: readonly number[] = [0x2, 0x16, 0x17, 0x18];
const VERSION = 0x15;
/** GOAWAY_TIMEOUT: we were told to leave, and did not find another session. */
const GOAWAY_TIMEOUT = 0x10;

/** What the end of a session means; `code` null: the transport died, or never stood. */
export function failure(code: number | null, stood: boolean): LinkFailure {
	if (code === null) return stood ? "lost" : "unreachable";
	if (code === 0) return "lost";
	if (code === GOAWAY_TIMEOUT) return "going_away";
	if (UNAUTHORIZED.includes(code)) return "unauthorized";
	if (code === VERSION) return "version";
	return "protocol";
}
