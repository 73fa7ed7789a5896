/** The HTTP API, as far as the phone needs it. */
import type { RelayAddress } from "../media/api.ts";
import { isRecord } from "../storage.ts";

const BASE = "/api/v1";

/** An answer that takes longer than this is none. */
const ANSWER_MS_MAX = 10_000;

export interface User {
	readonly id: string;
	readonly name: string;
	readonly number?: string;
}

export interface Guest {
	readonly token: string;
	readonly user: User;
	/** Seconds. */
	readonly expires_in: number;
}

export type ApiFailure =
	/** The server is not there, or answers nonsense. */
	| "unreachable"
	| "name_taken"
	| "name_invalid"
	/** Nobody may sign in by name alone here. */
	| "guests_off"
	| "too_many"
	/** Every number is given away. */
	| "full"
	| "shutting_down"
	| "unauthorized";

export class ApiError extends Error {
	constructor(
		readonly code: ApiFailure,
		readonly detail = "",
	) {
		super(detail === "" ? code : `${code}: ${detail}`);
		this.name = "ApiError";
	}
}

/** `previous` is the token of the same guest, so that the name counts as its own. */
export async function signInAsGuest(name: string, previous: string | null = null): Promise<Guest> {
	const headers: Record<string, string> = { "content-type": "application/json" };
	if (previous !== null) headers["authorization"] = `Bearer ${previous}`;
	const answer = await ask("/guest", { method: "POST", headers, body: JSON.stringify({ name }) });
	const guest = answer as Partial<Guest>;
	if (typeof guest.token !== "string" || typeof guest.user?.id !== "string") throw new ApiError("unreachable", "no token");
	const { id, name: shown, number } = guest.user;
	const user = { id, name: shown, ...(typeof number === "string" ? { number } : {}) };
	return { token: guest.token, user, expires_in: Number(guest.expires_in ?? 0) };
}

interface Transport {
	readonly url: string;
	/** Relative to the page; missing: there is none. */
	readonly fallback_url?: string;
	readonly others?: readonly string[];
	readonly certificate_hashes: readonly { readonly algorithm: string; readonly value: string }[];
}

/** Returns where MoQ is and which certificates to accept there. */
export async function findRelay(token: string): Promise<RelayAddress> {
	const transport = (await ask("/transport", {})) as Partial<Transport>;
	if (typeof transport.url !== "string") throw new ApiError("unreachable", "no relay url");
	const hashes = (transport.certificate_hashes ?? [])
		.filter((hash) => hash.algorithm === "sha-256")
		.map((hash) => hash.value);
	const fallback = transport.fallback_url;
	const websocket = typeof fallback === "string" ? { websocket: new URL(fallback, location.href).href.replace(/^http/, "ws") } : {};
	return { url: transport.url, hashes, token, others: transport.others ?? [], ...websocket };
}

async function ask(path: string, init: RequestInit): Promise<unknown> {
	let response: Response;
	try {
		response = await fetch(BASE + path, { cache: "no-store", ...init, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
	} catch (error) {
		throw new ApiError("unreachable", String(error));
	}
	if (!response.ok) throw new ApiError(failureOf(response.status, await codeOf(response)), `${response.status}`);
	try {
		return await response.json();
	} catch (error) {
		throw new ApiError("unreachable", String(error));
	}
}

/** Faults come with a code beside the status. */
async function codeOf(response: Response): Promise<unknown> {
	const body: unknown = await response.json().catch(() => null);
	return isRecord(body) ? body["code"] : null;
}

function failureOf(status: number, code: unknown): ApiFailure {
	switch (status) {
		case 400:
		case 422:
			return "name_invalid";
		case 401:
			return "unauthorized";
		case 403:
			return "guests_off";
		case 409:
			return "name_taken";
		case 429:
			return "too_many";
		case 503:
			return code === "too_many" ? "full" : "shutting_down";
		default:
			return "unreachable";
	}
}
