/** Keeps the media engine's session with the relay: opens it, and again after what the engine gives up. */
import type { LinkFailure, LinkState, MediaEngine, RelayAddress } from "./media/api.ts";
import { ApiError } from "./session/api.ts";
import { Store } from "./store.ts";

/** The engine has tried by itself before it gave up. */
const RETRY_MS = 15_000;

/** What no second try changes. */
const HOPELESS: ReadonlySet<LinkFailure> = new Set(["unsupported", "version", "wasm"]);

export interface RelayLinkOptions {
	readonly engine: MediaEngine;
	/** Tells where the relay is. */
	readonly relay: (token: string) => Promise<RelayAddress>;
	/** The token of the session, or null while nobody is signed in. */
	readonly token: () => string | null;
	/** The relay refuses the token that the session has now. */
	readonly unauthorized: () => void;
}

export class RelayLink {
	readonly state: Store<LinkState>;
	readonly #options: RelayLinkOptions;
	/** What the link began with; the session may have a newer one. */
	#token: string | null = null;
	#connecting = false;
	#retry: ReturnType<typeof setTimeout> | undefined;

	constructor(options: RelayLinkOptions) {
		this.#options = options;
		this.state = new Store(options.engine.state);
		options.engine.on("state", (state) => this.#changed(state));
	}

	/** Opens the session, unless it stands or is on its way. */
	ensure(): void {
		const { name } = this.#options.engine.state;
		if (this.#options.token() === null || this.#connecting || (name !== "idle" && name !== "failed")) return;
		this.#connecting = true;
		void this.#connect().finally(() => {
			this.#connecting = false;
		});
	}

	stop(): void {
		this.#options.engine.disconnect();
		clearTimeout(this.#retry);
	}

	async #connect(): Promise<void> {
		try {
			const address = await this.#address();
			await this.#options.engine.connect({ ...address, refresh: () => this.#address() });
		} catch {
			// No answer from the server: signaling is down, too, and calls here again when it is back.
			this.#later();
		}
	}

	#address(): Promise<RelayAddress> {
		this.#token = this.#options.token();
		if (this.#token === null) return Promise.reject(new ApiError("unauthorized"));
		return this.#options.relay(this.#token);
	}

	#changed(state: LinkState): void {
		this.state.set(state);
		clearTimeout(this.#retry);
		const token = this.#options.token();
		if (state.name !== "failed" || token === null || HOPELESS.has(state.reason)) return;
		this.#later();
		if (state.reason !== "unauthorized") return;
		if (this.#token === token) this.#options.unauthorized();
		else this.ensure();
	}

	#later(): void {
		clearTimeout(this.#retry);
		this.#retry = setTimeout(() => this.ensure(), RETRY_MS);
	}
}
