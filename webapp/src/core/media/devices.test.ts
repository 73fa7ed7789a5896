import { describe, expect, it, vi } from "vitest";
import { microphoneError } from "./devices.ts";
import { Emitter } from "./emitter.ts";

describe("a microphone that does not open", () => {
	it("says why in our words", () => {
		const codes = {
			NotAllowedError: "mic_blocked",
			SecurityError: "mic_blocked",
			NotFoundError: "mic_none",
			OverconstrainedError: "mic_none",
			NotReadableError: "mic_in_use",
			AbortError: "mic_in_use",
			TypeError: "mic_unsupported",
			Whatever: "mic_failed",
		};
		for (const [name, code] of Object.entries(codes)) expect(microphoneError({ name })).toBe(code);
		expect(microphoneError(null)).toBe("mic_failed");
	});
});

describe("listeners", () => {
	it("hear until they are taken off, whatever another one throws", () => {
		const report = vi.fn();
		vi.stubGlobal("reportError", report);
		const emitter = new Emitter<{ tick: number }>();
		const heard: number[] = [];
		emitter.on("tick", () => {
			throw new Error("mine");
		});
		const off = emitter.on("tick", (value) => heard.push(value));

		emitter.emit("tick", 1);
		off();
		emitter.emit("tick", 2);

		expect(heard).toEqual([1]);
		expect(report).toHaveBeenCalledTimes(2);
		vi.unstubAllGlobals();
	});
});
