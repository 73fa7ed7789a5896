/** The whole page on a fake socket and a fake media engine, for tests of screens. Times are fake: `vi.useFakeTimers`. */
import { render } from "preact";
import { act } from "preact/test-utils";
import { vi } from "vitest";
import { Phone } from "../core/phone.ts";
import { Session } from "../core/session/session.ts";
import { SettingsStore } from "../core/settings.ts";
import type { Box } from "../core/storage.ts";
import { FakeEngine, FakeSocket, MemoryBox, registeredAnswer } from "../core/testing.ts";
import { listenToRoomKeys } from "../room/keys.ts";
import type { VideoEngine, VideoMedia } from "../video/api.ts";
import { App } from "./app.tsx";
import { comfort } from "./comforts.ts";
import { listenToKeys } from "./keys.ts";
import { createView } from "./view.ts";

const opened: (() => void)[] = [];

/** Takes the page away again. */
export function shut(): void {
	for (const close of opened.splice(0)) close();
	render(null, document.body);
}

type Guest = NonNullable<ConstructorParameters<typeof Session>[0]["guest"]>;

export interface Opened {
	readonly guest?: Guest;
	readonly tab?: Box;
	readonly video?: (media: VideoMedia) => VideoEngine;
}

export function open({ guest, tab, video }: Opened = {}) {
	const box = new MemoryBox();
	const sockets: FakeSocket[] = [];
	const session = new Session({
		box,
		guest: guest ?? (async (name) => ({ token: "t", user: { id: name.toLowerCase(), name, number: "7001" }, expires_in: 43_200 })),
	});
	const engine = new FakeEngine();
	const phone = new Phone({
		session,
		settings: new SettingsStore(box),
		engine,
		signalUrl: "ws://phone/api/v1/signal",
		box,
		tab: tab ?? null,
		...(video === undefined ? {} : { video }),
		relay: async (token) => ({ url: "https://relay/moq", hashes: [], token }),
		openSocket: (_url, protocol) => {
			const made = new FakeSocket(protocol);
			sockets.push(made);
			return made;
		},
	});
	const view = createView(phone);
	render(<App view={view} />, document.body);
	opened.push(comfort(view), listenToKeys(view), listenToRoomKeys(view));
	const all = (id: string) => [...document.querySelectorAll(`[data-testid="${id}"]`)] as HTMLElement[];
	const find = (id: string) => document.querySelector(`[data-testid="${id}"]`);
	const socket = (): FakeSocket => sockets.at(-1) as FakeSocket;
	return {
		phone,
		view,
		engine,
		find,
		all,
		socket,
		hear: (message: Record<string, unknown>) => act(async () => {
				socket().receive(message);
				await vi.advanceTimersByTimeAsync(0);
			}),
		type: (id: string, text: string) =>
			act(() => {
				const field = find(id) as HTMLInputElement;
				field.value = text;
				field.dispatchEvent(new Event("input", { bubbles: true }));
			}),
		click: (id: string) =>
			act(async () => {
				(find(id) as HTMLElement).click();
				await vi.advanceTimersByTimeAsync(0);
			}),
		press: (key: string, target: Element | null = document.body) =>
			act(async () => void target?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }))),
	};
}

/** The same, with somebody signed in and registered. */
export async function signedIn(options: Opened = {}) {
	const made = open(options);
	await made.type("sign-in-name", "Anna");
	await made.click("sign-in-submit");
	await act(async () => made.socket().open());
	await made.hear(registeredAnswer(1));
	return made;
}
