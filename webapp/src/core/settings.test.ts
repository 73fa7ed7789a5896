import { expect, it } from "vitest";
import { DEFAULT_SETTINGS, SettingsStore } from "./settings.ts";
import { missingFeatures } from "./support.ts";
import { MemoryBox } from "./testing.ts";

it("settings are kept", () => {
	const box = new MemoryBox();
	new SettingsStore(box).change({ microphone: "m1", theme: "dark" });

	expect(new SettingsStore(box).value).toEqual({ ...DEFAULT_SETTINGS, microphone: "m1", theme: "dark" });
});

it("settings of the wrong type are as by default", () => {
	const box = new MemoryBox();
	box.setItem("moqrelay.settings", '{"microphone":7,"theme":"pink","language":"xx","pushToTalk":false,"extra":1}');

	expect(new SettingsStore(box).value).toEqual({ ...DEFAULT_SETTINGS, pushToTalk: false });
});

it("settings follow another tab", () => {
	const box = new MemoryBox();
	const [one, two] = [new SettingsStore(box), new SettingsStore(box)];

	one.change({ theme: "light" });
	two.storageChanged("moqrelay.settings");

	expect(two.value.theme).toBe("light");
});

it("a page without a secure context is told that alone", () => {
	expect(missingFeatures({ isSecureContext: false })).toEqual(["secure_context"]);
});

it("a browser without WebTransport and WebCodecs is told what it lacks", () => {
	const scope = { isSecureContext: true, WebSocket: {}, AudioWorkletNode: {}, WebAssembly: {}, navigator: { mediaDevices: {} } };

	expect(missingFeatures(scope)).toEqual(["webcodecs"]);
	expect(missingFeatures({ ...scope, WebTransport: {}, AudioEncoder: {}, AudioDecoder: {} })).toEqual([]);
});
