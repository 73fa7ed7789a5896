/** What a browser cannot do in a room, although it can be a telephone. */

/** Names of words in `i18n/room`. */
export type Lacking = "lacksUdp" | "lacksSpeaker" | "lacksSend" | "lacksReceive" | "lacksScreen";

export function lacking(canChooseSpeaker: boolean, scope: Record<string, unknown> = globalThis as unknown as Record<string, unknown>): readonly Lacking[] {
	const navigator = scope["navigator"] as { mediaDevices?: { getDisplayMedia?: unknown } } | undefined;
	const missing: (Lacking | false)[] = [
		scope["WebTransport"] === undefined && "lacksUdp",
		!canChooseSpeaker && "lacksSpeaker",
		scope["VideoEncoder"] === undefined && "lacksSend",
		scope["VideoDecoder"] === undefined && "lacksReceive",
		navigator?.mediaDevices?.getDisplayMedia === undefined && "lacksScreen",
	];
	return missing.filter((what) => what !== false);
}
