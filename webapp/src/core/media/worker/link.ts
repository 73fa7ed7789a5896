/** Keeps a session with the relay: opens it, opens it again when it dies, gives up when it is no use. */

import type { LinkFailure, LinkState, RelayAddress } from "../api.ts";
import type { Record } from "../wasm/session.ts";
import { Kind } from "../wasm/session.ts";
import { Transport } from "./transport.ts";

/** A handshake takes a few hundred ms at most; packets that vanish are told by silence alone. */
const HANDSHAKE_TIMEOUT_MS = 6_000;
/** How long the relay may take to send SETUP. */
const SETUP_TIMEOUT_MS = 5_000;
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 5_000;
/** Tries before the first session stands, and after one was lost (some 12 minutes). */
const TRIES_FIRST_MAX = 4;
const TRIES_AGAIN_MAX = 150;
/** A session that stood this long was a good one: count from the start again. */
const STABLE_MS = 10_000;

export interface LinkOwner {
	state(state: LinkState): void;
	/** A session stands: subscribe and publish. */
	up(transport: Transport): void;
	/** It does not any more. */
	down(): void;
	record(record: Record): void;
	/** Where the relay is now; null: unknown, use the last address. */
	address(): Promise<RelayAddress | null>;
}

export class Link {
	readonly #owner: LinkOwner;
	readonly #module: WebAssembly.Module;
	readonly #voice: "stream" | undefined;
	#address: RelayAddress | null = null;
	#transport: Transport | null = null;
	/** Counts sessions: what belongs to an old one is ignored. */
	#generation = 0;
	#tries = 0;
	/** When the last session began to stand, ms; null: none did yet. */
	#stoodAt: number | null = null;
	#timer: ReturnType<typeof setTimeout> | undefined;

	/** `voice`: on streams even where datagrams would do. */
	constructor(module: WebAssembly.Module, voice: "stream" | undefined, owner: LinkOwner) {
		this.#module = module;
		this.#voice = voice;
		this.#owner = owner;
	}

	/** The session, while it stands. */
	get transport(): Transport | null {
		return this.#transport;
	}

	connect(address: RelayAddress): void {
		this.#drop();
		this.#address = address;
		this.#tries = 0;
		this.#stoodAt = null;
		this.#owner.state({ name: "connecting" });
		void this.#open(address);
	}

	disconnect(): void {
		this.#drop();
		this.#address = null;
		this.#owner.state({ name: "idle" });
	}

	/** The network is back: do not wait for the next try. */
	hurry(): void {
		if (this.#timer === undefined || this.#address === null || this.#transport !== null) return;
		clearTimeout(this.#timer);
		this.#timer = undefined;
		void this.#again(this.#generation);
	}

	/** The session is of no use any more though the transport says nothing. */
	lost(detail: string): void {
		if (this.#transport !== null) this.#ended(this.#generation, "lost", detail);
	}

	/** The relay asked us to go, `uri`: where to; empty: come back. */
	leave(uri: string): void {
		if (this.#address === null) return;
		if (uri !== "") this.#address = { ...this.#address, url: uri };
		this.#ended(this.#generation, "going_away", "");
	}

	async #open(address: RelayAddress): Promise<void> {
		const generation = ++this.#generation;
		let ready = false;
		try {
			const transport = await Transport.open(
				address.url,
				address.hashes,
				address.token ?? "",
				this.#module,
				this.#voice,
				{
					record: (record) => {
						if (generation !== this.#generation) return;
						if (record.kind !== Kind.Ready) {
							this.#owner.record(record);
							return;
						}
						ready = true;
						// The first records come while the transport is being made.
						queueMicrotask(() => this.#up(generation));
					},
					closed: (code, detail) => this.#ended(generation, failure(code), detail),
				},
				HANDSHAKE_TIMEOUT_MS,
			);
			if (generation !== this.#generation) {
				transport.close();
				return;
			}
			this.#transport = transport;
			if (ready) return;
			this.#timer = setTimeout(() => {
				if (generation === this.#generation && !ready) this.#ended(generation, "lost", "no SETUP");
			}, SETUP_TIMEOUT_MS);
		} catch (error) {
			this.#ended(generation, "unreachable", String(error));
		}
	}

	#up(generation: number): void {
		const transport = this.#transport;
		if (generation !== this.#generation || transport === null) return;
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#stoodAt = performance.now();
		this.#owner.state({ name: "connected", voice: transport.voice });
		this.#owner.up(transport);
	}

	#ended(generation: number, reason: LinkFailure, detail: string): void {
		if (generation !== this.#generation || this.#address === null) return;
		const stood = this.#transport !== null && this.#stoodAt !== null ? performance.now() - this.#stoodAt : 0;
		if (stood > STABLE_MS) this.#tries = 0;
		this.#drop();
		if (this.#tries >= triesMax(reason, this.#stoodAt !== null)) {
			this.#owner.state({ name: "failed", reason, detail });
			return;
		}
		this.#tries++;
		const retryInMs = backoff(this.#tries);
		this.#owner.state({ name: "reconnecting", reason, attempt: this.#tries, retryInMs });
		const next = this.#generation;
		this.#timer = setTimeout(() => {
			this.#timer = undefined;
			void this.#again(next);
		}, retryInMs);
	}

	async #again(generation: number): Promise<void> {
		const fresh = await this.#owner.address();
		if (generation !== this.#generation || this.#address === null) return;
		this.#address = fresh ?? this.#address;
		void this.#open(this.#address);
	}

	#drop(): void {
		this.#generation++;
		clearTimeout(this.#timer);
		this.#timer = undefined;
		const transport = this.#transport;
		this.#transport = null;
		if (transport === null) return;
		transport.close();
		this.#owner.down();
	}
}

/** The n-th wait, ms: doubles, with up to a half taken off so that a room does not come back at once. */
export function backoff(attempt: number): number {
	const full = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (attempt - 1));
	return Math.round(full * (0.5 + Math.random() / 2));
}

/** Session termination codes of draft-18, section 3.5, that say what was wrong. */
const UNAUTHORIZED: readonly number[] = [0x2, 0x16, 0x17, 0x18];
const VERSION = 0x15;

/** What the end of a session means; `code` null: the transport died. */
export function failure(code: number | null): LinkFailure {
	if (code === null || code === 0) return "lost";
	if (UNAUTHORIZED.includes(code)) return "unauthorized";
	if (code === VERSION) return "version";
	return "protocol";
}

/** How often to try again in a row; `stood`: a session stood before. */
function triesMax(reason: LinkFailure, stood: boolean): number {
	switch (reason) {
		case "unsupported":
		case "version":
		case "wasm":
			return 0; // It would change nothing.
		case "unauthorized":
			return 1; // A fresh token may help, once.
		case "protocol":
			return TRIES_FIRST_MAX;
		case "unreachable":
		case "lost":
		case "going_away":
			return stood ? TRIES_AGAIN_MAX : TRIES_FIRST_MAX;
	}
}
