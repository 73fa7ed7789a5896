/** Puts the telephone together and shows it. */
import { render } from "preact";
import type { MediaEngine } from "./core/media/api.ts";
import { createMediaEngine } from "./core/media/engine.ts";
import { Phone } from "./core/phone.ts";
import { Session } from "./core/session/session.ts";
import { SettingsStore } from "./core/settings.ts";
import { localBox, tabBox } from "./core/storage.ts";
import { missingFeatures } from "./core/support.ts";
import { useLanguage } from "./i18n/index.ts";
import { listenToRoomKeys } from "./room/keys.ts";
import { followAddress } from "./room/route.ts";
import { App, Unsupported } from "./ui/app.tsx";
import { comfort } from "./ui/comforts.ts";
import { listenToKeys } from "./ui/keys.ts";
import { createView } from "./ui/view.ts";
import type { VideoMedia } from "./video/api.ts";
import { createVideoEngine } from "./video/engine.ts";
import "./styles/index.css";

/** `#token=…` in the address signs in; it is taken out of the address at once. */
const TOKEN_IN_ADDRESS = /^#token=([\w.-]+)$/;

async function start(root: HTMLElement): Promise<void> {
	const settings = new SettingsStore(localBox());
	void useLanguage(settings.value.language);
	const missing = missingFeatures();
	if (missing.length > 0) {
		render(<Unsupported missing={missing} />, root);
		return;
	}
	const session = new Session({ box: localBox() });
	const testSource = new URLSearchParams(location.search).has("test-source");
	const engine = createMediaEngine({ testSource });
	const signalUrl = `${location.origin.replace(/^http/, "ws")}/api/v1/signal`;
	const video = (media: VideoMedia) => createVideoEngine({ engine, media });
	const phone = new Phone({ session, settings, engine, signalUrl, box: localBox(), tab: tabBox(), video });
	const view = createView(phone);
	expose(phone, engine);
	followAddress(phone.room);
	listen(phone);
	settings.subscribe(({ language }) => void useLanguage(language));
	const token = TOKEN_IN_ADDRESS.exec(location.hash)?.[1];
	if (token === undefined) {
		await session.restore();
	} else {
		history.replaceState(null, "", location.pathname + location.search);
		session.signInWithToken(token);
	}
	render(<App view={view} />, root);
	comfort(view);
	listenToKeys(view);
	listenToRoomKeys(view);
}

function listen(phone: Phone): void {
	globalThis.addEventListener("storage", ({ key }) => phone.storageChanged(key));
	globalThis.addEventListener("pagehide", () => phone.leavePage());
	globalThis.addEventListener("online", () => phone.retryNow());
	// Awake again: whatever broke meanwhile is mended now.
	document.addEventListener("visibilitychange", () => {
		if (!document.hidden) phone.retryNow();
	});
	// Sound needs a gesture; the first one anywhere will do.
	const wake = (): void => {
		if (phone.session.state.value.name !== "in") return;
		void phone.voice.wake();
		document.removeEventListener("pointerdown", wake);
		document.removeEventListener("keydown", wake);
	};
	document.addEventListener("pointerdown", wake);
	document.addEventListener("keydown", wake);
}

/** Read-only diagnostics, for support and the end-to-end tests (README.md). */
function expose(phone: Phone, engine: MediaEngine): void {
	const diagnostics = {
		session: () => phone.session.state.value.name,
		line: () => phone.line.value,
		link: () => phone.link.value,
		calls: () => phone.calls.value,
		people: () => phone.people.list.value,
		levels: () => phone.levels.value,
		room: () => phone.room.state.value,
		voices: () => phone.room.voices,
		rules: () => phone.desk.rules.value,
		quality: () => phone.monitor.quality.value,
		microphone: () => phone.voice.microphone.value,
		audio: () => phone.voice.audio.value,
		stats: () => engine.stats(),
		probe: () => engine.probe(),
		peakHz: async () => (await engine.probe()).peakHz,
		tones: async () => (await engine.probe()).tones,
	};
	Object.defineProperty(globalThis, "__moqrelay", { value: Object.freeze(diagnostics) });
}

const root = document.getElementById("app");
if (root !== null) {
	start(root).catch((error: unknown) => {
		root.textContent = `The page could not be started: ${String(error)}`;
		console.error(error);
	});
}
