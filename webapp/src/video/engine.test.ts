import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createVideoEngine } from "./engine.ts";

const MEDIA = { room: "r", participant: "p1", namespace: ["room", "r", "p1"], token: "t" };

let log: string[] = [];

beforeEach(() => {
	log = [];
	vi.useFakeTimers();
	vi.stubGlobal("MediaStreamTrackProcessor", class {
		readonly readable = {};
	});
	vi.stubGlobal("VideoEncoder", class {});
	vi.stubGlobal("VideoFrame", class {});
	vi.stubGlobal("document", { pictureInPictureEnabled: false });
	vi.stubGlobal("HTMLCanvasElement", class {});
});
afterEach(() => {
	vi.unstubAllGlobals();
	vi.useRealTimers();
});

it("what is behind us is blurred in the preview and in what is sent, and so it is when the camera comes again", async () => {
	const engine = made([false, true]);
	await engine.cameraOn();

	expect(await engine.blur(true)).toBe(true);
	engine.cameraOff();
	log = [];
	await engine.cameraOn();

	// It is blurred before the Worker is given its pictures.
	expect(log).toEqual(["camera blur true", "clone", "show"]);
	log = [];
	expect(await engine.blur(false)).toBe(true);
	expect(log).toEqual(["camera blur false", "copy blur false"]);
	engine.cameraOff();
	expect([await engine.blur(true), await engine.blur(false)]).toEqual([true, true]);
	engine.close();
});

it("a camera that cannot blur says so, and is shown as it is", async () => {
	const engine = made([false]);
	await engine.cameraOn();

	expect(engine.support.blur).toBe(false);
	expect(await engine.blur(true)).toBe(false);
	expect(log).toEqual(["clone", "show"]);
	engine.close();
});

function made(blurs: boolean[]) {
	const track = (name: string) => ({
		clone: () => {
			log.push("clone");
			return track("copy");
		},
		stop: () => {},
		addEventListener: () => {},
		removeEventListener: () => {},
		getConstraints: () => ({ width: { ideal: 640 } }),
		getCapabilities: () => ({ backgroundBlur: blurs }),
		applyConstraints: async ({ width, backgroundBlur }: { width: { ideal: number }; backgroundBlur: boolean }) => {
			expect(width).toEqual({ ideal: 640 });
			log.push(`${name} blur ${backgroundBlur}`);
		},
	});
	const camera = track("camera");
	const stream = { getVideoTracks: () => [camera], getTracks: () => [camera] };
	vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: async () => stream, getSupportedConstraints: () => ({ backgroundBlur: true }) } });
	const port = {
		onmessage: null,
		postMessage: ({ type }: { type: string }) => {
			if (type === "show") log.push(type);
		},
	} as unknown as MessagePort;
	return createVideoEngine({ engine: { videoPort: () => port, voiceClock: async () => null, stats: () => Promise.reject(new Error("unused")) }, media: MEDIA });
}
