/** Whether this browser can be a telephone, asked before anything is loaded. */

export type Missing = "secure_context" | "websocket" | "webcodecs" | "worklet" | "microphone" | "wasm";

export function missingFeatures(scope: Record<string, unknown> = globalThis as unknown as Record<string, unknown>): readonly Missing[] {
	const missing: Missing[] = [];
	// Without a secure context most of the others are hidden, so that this one alone tells the truth.
	if (scope["isSecureContext"] === false) return ["secure_context"];
	if (scope["WebSocket"] === undefined) missing.push("websocket");
	if (scope["AudioEncoder"] === undefined || scope["AudioDecoder"] === undefined) missing.push("webcodecs");
	if (scope["AudioWorkletNode"] === undefined) missing.push("worklet");
	const navigator = scope["navigator"] as { mediaDevices?: unknown } | undefined;
	if (navigator?.mediaDevices === undefined) missing.push("microphone");
	if (scope["WebAssembly"] === undefined) missing.push("wasm");
	return missing;
}
