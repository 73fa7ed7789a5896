/** Who is signed in here: the token, where it is kept and when it is renewed. */
import { Store } from "../store.ts";
import { type Box, Kept, isRecord } from "../storage.ts";
import { ApiError, type ApiFailure, type Guest, type User, signInAsGuest } from "./api.ts";

/** A token is renewed this long before its end, so that no call begins with a dying one. */
const RENEW_MS_BEFORE = 10 * 60_000;
/** Not more often than this, or the server's limit on sign-ins is met. */
const RENEW_MS_PAUSE = 15_000;
/** A server keeps a name for this long, and a little, for one who has left. */
const NAME_MS_KEPT = 120_000;
/** The longest pause `setTimeout` can do; longer lives are waited for in pieces. */
const TIMER_MS_MAX = 2_000_000_000;

export interface Identity {
	readonly token: string;
	readonly user: User;
	/** `Date.now` at which the token ends. */
	readonly expiresAt: number;
	/** Guests can be renewed by their name; who brought a token of their own cannot. */
	readonly guest: boolean;
}

export type SessionState =
	| { readonly name: "out"; readonly reason: SignOutReason | null; readonly lastName: string }
	| { readonly name: "signing_in"; readonly lastName: string }
	| { readonly name: "in"; readonly identity: Identity };

export type SignOutReason = ApiFailure | "expired" | "bad_token";

export interface SessionOptions {
	readonly box: Box | null;
	readonly guest?: (name: string, previous: string | null) => Promise<Guest>;
	readonly now?: () => number;
}

export class Session {
	readonly state: Store<SessionState>;
	readonly #kept: Kept<Identity>;
	readonly #name: Kept<string>;
	readonly #guest: (name: string, previous: string | null) => Promise<Guest>;
	readonly #now: () => number;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#renewing: Promise<boolean> | null = null;

	constructor(options: SessionOptions) {
		this.#kept = new Kept(options.box, "identity", checkIdentity);
		this.#name = new Kept(options.box, "name", (value) => (typeof value === "string" ? value : null));
		this.#guest = options.guest ?? signInAsGuest;
		this.#now = options.now ?? Date.now;
		this.state = new Store<SessionState>({ name: "out", reason: null, lastName: this.#name.read() ?? "" });
	}

	/** Takes up what this browser kept. A guest whose token ended signs in again under the same name. */
	async restore(): Promise<void> {
		const identity = this.#kept.read();
		if (identity === null) return;
		if (identity.expiresAt > this.#now()) {
			this.#enter(identity);
			return;
		}
		this.#kept.clear();
		if (identity.guest) await this.signIn(identity.user.name);
		else this.#leave("expired");
	}

	/** Signs in by name alone. */
	async signIn(name: string): Promise<void> {
		this.state.set({ name: "signing_in", lastName: name });
		try {
			const guest = await this.#guest(name, null);
			this.#name.write(name);
			this.#adopt(guest);
		} catch (error) {
			this.#leave(reasonOf(error), name);
		}
	}

	/** Signs in with a token from elsewhere. Whether it holds, the server says at registration. */
	signInWithToken(token: string): void {
		const identity = identityOf(token.trim());
		if (identity === null) this.#leave("bad_token");
		else if (identity.expiresAt <= this.#now()) this.#leave("expired");
		else this.#keep(identity);
	}

	/** The server refuses the token. Returns whether there is another one now. */
	renew(): Promise<boolean> {
		this.#renewing ??= this.#renew().finally(() => {
			this.#renewing = null;
		});
		return this.#renewing;
	}

	signOut(reason: SignOutReason | null = null): void {
		this.#kept.clear();
		this.#leave(reason);
	}

	/** Another tab signed in or out. */
	storageChanged(key: string | null): void {
		if (!this.#kept.isKey(key)) return;
		const identity = this.#kept.read();
		const { value } = this.state;
		if (identity === null) {
			if (value.name === "in") this.#leave(null);
		} else if (value.name !== "in" || value.identity.token !== identity.token) {
			this.#enter(identity);
		}
	}

	async #renew(): Promise<boolean> {
		const { value } = this.state;
		if (value.name !== "in") return false;
		const { identity } = value;
		if (!identity.guest) {
			this.signOut("expired");
			return false;
		}
		try {
			this.#adopt(await this.#guest(identity.user.name, identity.token));
			return true;
		} catch (error) {
			const reason = reasonOf(error);
			if (this.#isFinal(reason, identity)) this.signOut(reason);
			else if (this.#isIn(identity)) this.#schedule(identity);
			return false;
		}
	}

	/**
	 * A server that cannot be asked now can be later. And the name may be "taken" by this very guest:
	 * by the session that just ended, or by another tab, whose new token comes by the storage.
	 */
	#isFinal(reason: ApiFailure, identity: Identity): boolean {
		if (reason === "name_taken") return this.#now() > identity.expiresAt + NAME_MS_KEPT && this.#isIn(identity);
		return reason === "guests_off" || reason === "name_invalid" || reason === "unauthorized";
	}

	#isIn(identity: Identity): boolean {
		const { value } = this.state;
		return value.name === "in" && value.identity.token === identity.token;
	}

	#adopt(guest: Guest): void {
		const expiresAt = this.#now() + guest.expires_in * 1000;
		this.#keep({ token: guest.token, user: guest.user, expiresAt, guest: true });
	}

	#keep(identity: Identity): void {
		this.#kept.write(identity);
		this.#enter(identity);
	}

	#enter(identity: Identity): void {
		this.state.set({ name: "in", identity });
		this.#schedule(identity);
	}

	#leave(reason: SignOutReason | null, lastName = this.#name.read() ?? ""): void {
		clearTimeout(this.#timer);
		this.state.set({ name: "out", reason, lastName });
	}

	#schedule(identity: Identity): void {
		clearTimeout(this.#timer);
		if (!identity.guest) return;
		const lifeMs = Math.max(0, identity.expiresAt - this.#now());
		// A short life is renewed at its half, or a token of five minutes would never rest.
		const pauseMs = lifeMs > 2 * RENEW_MS_BEFORE ? lifeMs - RENEW_MS_BEFORE : lifeMs / 2;
		if (pauseMs > TIMER_MS_MAX) this.#timer = setTimeout(() => this.#schedule(identity), TIMER_MS_MAX);
		else this.#timer = setTimeout(() => void this.renew(), Math.max(RENEW_MS_PAUSE, pauseMs));
	}
}

function reasonOf(error: unknown): ApiFailure {
	return error instanceof ApiError ? error.code : "unreachable";
}

function checkIdentity(value: unknown): Identity | null {
	if (!isRecord(value) || !isRecord(value["user"])) return null;
	const { token, expiresAt, guest, user } = value;
	if (typeof token !== "string" || typeof expiresAt !== "number" || typeof guest !== "boolean") return null;
	if (typeof user["id"] !== "string" || typeof user["name"] !== "string") return null;
	return value as unknown as Identity;
}

/** Reads the claims; the signature is the server's business. */
function identityOf(token: string): Identity | null {
	const claims = claimsOf(token);
	if (claims === null) return null;
	const { sub, name, number, exp } = claims;
	if (typeof sub !== "string" || typeof exp !== "number") return null;
	const user: User = {
		id: sub,
		name: typeof name === "string" && name !== "" ? name : sub,
		...(typeof number === "string" ? { number } : {}),
	};
	return { token, user, expiresAt: exp * 1000, guest: false };
}

function claimsOf(token: string): Record<string, unknown> | null {
	const part = token.split(".")[1];
	if (part === undefined) return null;
	try {
		const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
		const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
		return isRecord(claims) ? claims : null;
	} catch {
		return null;
	}
}
