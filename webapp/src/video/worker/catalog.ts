/** Tracks of pictures in a participant's catalog (MSF, `docs/protocol.md`, section 3). */

import type { VideoSource } from "../api.ts";

/** One size of a source. */
export interface CatalogTrack {
	readonly name: string;
	readonly source: VideoSource;
	readonly codec: string;
	readonly width: number;
	readonly height: number;
	readonly framerate: number;
	readonly bitrate: number;
}

/** What somebody's catalog says of pictures. */
export interface Catalog {
	/** Ascending by what they cost. */
	readonly tracks: readonly CatalogTrack[];
	/** What its owner can show: names of codecs without their details. Empty: it does not say. */
	readonly decodes: readonly string[];
}

/** Voice and pictures of one participant are on one time line. */
export const RENDER_GROUP = 1;
const ALT_GROUP: Readonly<Record<VideoSource, number>> = { camera: 1, screen: 2 };
const SOURCES: readonly VideoSource[] = ["camera", "screen"];

/** Catalogs are small; what is longer is none of ours. */
const CATALOG_CHARS_MAX = 32_768;
/** More sizes than anybody offers of one source. */
const TRACKS_MAX = 16;
const NAME_CHARS_MAX = 64;

/** The entries of our own catalog. */
export function entries(tracks: readonly CatalogTrack[]): object[] {
	return tracks.map(({ name, source, codec, width, height, framerate, bitrate }) => ({
		name,
		packaging: "loc",
		isLive: true,
		role: source === "camera" ? "video" : "screen",
		renderGroup: RENDER_GROUP,
		altGroup: ALT_GROUP[source],
		codec,
		width,
		height,
		framerate,
		bitrate,
		timescale: 48_000,
	}));
}

/** Reads somebody's catalog; what makes no sense in it is left out. Null: it is none. */
export function read(bytes: Uint8Array): Catalog | null {
	if (bytes.length > CATALOG_CHARS_MAX) return null;
	let json: unknown;
	try {
		json = JSON.parse(new TextDecoder().decode(bytes));
	} catch {
		return null;
	}
	if (!isObject(json) || !Array.isArray(json["tracks"])) return null;
	const tracks = json["tracks"].slice(0, TRACKS_MAX).map(track).filter((one) => one !== null);
	const decodes: unknown = json["decodes"];
	return {
		tracks: tracks.sort((a, b) => a.bitrate - b.bitrate),
		decodes: Array.isArray(decodes) ? decodes.filter((one) => typeof one === "string").slice(0, TRACKS_MAX) : [],
	};
}

/** By our names for them, or what the role and the group say. */
function track(json: unknown): CatalogTrack | null {
	if (!isObject(json) || json["packaging"] !== "loc") return null;
	const { name, codec, role } = json as { name: unknown; codec: unknown; role: unknown };
	if (typeof name !== "string" || typeof codec !== "string" || name.length > NAME_CHARS_MAX) return null;
	const named = SOURCES.find((source) => name === source || name.startsWith(`${source}-`));
	const source = named ?? (role === "video" ? "camera" : null);
	if (source === null) return null;
	return {
		name,
		source,
		codec,
		width: positive(json["width"]),
		height: positive(json["height"]),
		framerate: positive(json["framerate"]),
		bitrate: positive(json["bitrate"]),
	};
}

function isObject(json: unknown): json is Record<string, unknown> {
	return typeof json === "object" && json !== null;
}

function positive(json: unknown): number {
	return typeof json === "number" && json > 0 && Number.isFinite(json) ? json : 0;
}
