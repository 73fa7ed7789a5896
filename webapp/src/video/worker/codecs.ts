/** Which codec pictures are sent with: one that this browser has and everybody who is known can show. */

import type { VideoSource } from "../api.ts";

/** Short names, as catalogs tell them, and what WebCodecs calls the profiles that we send. */
const PROFILES = {
	// Constrained baseline, level 4.0: up to 1920 × 1080 at 30.
	h264: "avc1.42E028",
	vp8: "vp8",
	// Profile 0, level 4.0, 8 bits.
	vp9: "vp09.00.40.08",
	// Main, level 4.0, 8 bits.
	av1: "av01.0.08M.08",
} as const;

export type CodecName = keyof typeof PROFILES;

/**
 * VP8 is what every browser has both ways and costs least in software; text stays sharper with VP9. H.264 goes
 * first where the machine has a circuit for it.
 */
const ORDER: Readonly<Record<VideoSource, readonly CodecName[]>> = {
	camera: ["vp8", "h264", "vp9", "av1"],
	screen: ["vp9", "vp8", "av1", "h264"],
};

export interface Wanted {
	readonly width: number;
	readonly height: number;
	readonly framerate: number;
	readonly bitrate: number;
}

/** What `decodes` in a catalog lists; a list that is missing allows VP8 alone. */
export function allowed(lists: Iterable<readonly string[]>): (name: CodecName) => boolean {
	const all = [...lists];
	return (name) => all.every((list) => (list.length === 0 ? name === "vp8" : list.includes(name)));
}

export function encoderConfig(codec: string, source: VideoSource, wanted: Wanted): VideoEncoderConfig {
	return {
		codec,
		width: wanted.width,
		height: wanted.height,
		framerate: wanted.framerate,
		bitrate: wanted.bitrate,
		bitrateMode: "variable",
		latencyMode: "realtime",
		...(codec.startsWith("avc1") && { avc: { format: "avc" } }),
		...({ contentHint: source === "screen" ? "detail" : "motion" } as object),
	};
}

/** The codec for a source of that size; null: none will do. */
export async function choose(
	source: VideoSource,
	wanted: Wanted,
	allow: (name: CodecName) => boolean,
	supported: (config: VideoEncoderConfig) => Promise<boolean> = encodes,
): Promise<string | null> {
	if (source === "camera" && allow("h264")) {
		const circuit = { ...encoderConfig(PROFILES.h264, source, wanted), hardwareAcceleration: "prefer-hardware" as const };
		if (await supported(circuit)) return PROFILES.h264;
	}
	for (const name of ORDER[source]) {
		if (allow(name) && (await supported(encoderConfig(PROFILES[name], source, wanted)))) return PROFILES[name];
	}
	return null;
}

async function encodes(config: VideoEncoderConfig): Promise<boolean> {
	try {
		return (await VideoEncoder.isConfigSupported(config)).supported === true;
	} catch {
		return false; // A value it does not know is a TypeError.
	}
}

/** What this browser can show. */
export async function decodable(): Promise<CodecName[]> {
	const names = Object.keys(PROFILES) as CodecName[];
	const answers = await Promise.all(
		names.map(async (name) => {
			try {
				return (await VideoDecoder.isConfigSupported({ codec: PROFILES[name] })).supported === true;
			} catch {
				return false;
			}
		}),
	);
	return names.filter((_, index) => answers[index]);
}
