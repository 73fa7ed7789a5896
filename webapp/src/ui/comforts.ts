/** What the browser can do beside the page: title, icon, notifications, a screen that stays on. */
import { effect } from "@preact/signals";
import { words } from "../i18n/index.ts";
import { cleanName } from "../room/text.ts";
import { nameOf } from "./names.ts";
import type { View } from "./view.ts";

/** Between the caller's name and the product's in the title. */
const BLINK_MS = 1_200;

export type NotificationState = NotificationPermission | "unsupported";

export function notificationState(): NotificationState {
	return "Notification" in globalThis ? Notification.permission : "unsupported";
}

export async function askForNotifications(): Promise<NotificationState> {
	return "Notification" in globalThis ? await Notification.requestPermission() : "unsupported";
}

/** Keeps them as the calls want it; returns what ends that. */
export function comfort(view: View): () => void {
	const ends = [
		effect(() => showTitle(view)),
		effect(() => notify(view)),
		effect(() => stayAwake(isBusy(view))),
		effect(() => paint(view.settings.value.theme)),
	];
	// The browser lets the lock go when the page is hidden.
	const seen = (): void => {
		if (!document.hidden) stayAwake(isBusy(view));
	};
	document.addEventListener("visibilitychange", seen);
	return () => {
		for (const end of ends) end();
		clearInterval(blink);
		document.removeEventListener("visibilitychange", seen);
	};
}

/** Somebody talks here, or listens. */
function isBusy({ ongoing, room }: View): boolean {
	return ongoing.value.length > 0 || room.value.place.name === "here";
}

let blink: ReturnType<typeof setInterval> | undefined;

function showTitle(view: View): void {
	const t = words.value;
	clearInterval(blink);
	const ringing = view.incoming.value[0];
	const talking = view.ongoing.value[0];
	const missed = view.missed.value;
	if (ringing !== undefined) {
		const titles = [t.isCalling(nameOf(ringing.peer, t)), t.product];
		let turn = 0;
		const show = (): void => {
			document.title = titles[turn % 2] ?? t.product;
			turn += 1;
		};
		show();
		if (globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches !== true) blink = setInterval(show, BLINK_MS);
		setIcon("ringing");
	} else if (talking !== undefined) {
		document.title = `${nameOf(talking.peer, t)} · ${t.product}`;
		setIcon("call");
	} else if (view.room.value.place.name === "here") {
		const { roster, place } = view.room.value;
		document.title = `${cleanName(roster?.title || place.stay.wish.room)} · ${t.product}`;
		setIcon("call");
	} else {
		document.title = missed > 0 ? `(${missed}) ${t.product}` : t.product;
		setIcon(missed > 0 ? "missed" : "idle");
	}
}

function setIcon(name: "idle" | "ringing" | "call" | "missed"): void {
	const link = document.getElementById("favicon");
	if (link instanceof HTMLLinkElement) link.href = `/icons/${name}.svg`;
}

const shown = new Map<string, Notification>();

function notify(view: View): void {
	const t = words.value;
	const ringing = view.incoming.value;
	for (const [key, notification] of shown) {
		if (ringing.some((call) => call.key === key)) continue;
		notification.close();
		shown.delete(key);
	}
	if (!document.hidden || notificationState() !== "granted") return;
	for (const call of ringing) {
		if (shown.has(call.key)) continue;
		try {
			const title = t.isCalling(nameOf(call.peer, t));
			const notification = new Notification(title, { tag: call.key, icon: "/icons/ringing.svg", requireInteraction: true });
			notification.onclick = () => {
				globalThis.focus();
				notification.close();
			};
			shown.set(call.key, notification);
		} catch {
			// Some mobile browsers allow them from service workers only.
		}
	}
}

let lock: WakeLockSentinel | null = null;
let wantsLock = false;

function stayAwake(on: boolean): void {
	wantsLock = on;
	if (!on) {
		void lock?.release().catch(() => {});
		lock = null;
		return;
	}
	if (!("wakeLock" in navigator) || document.hidden || (lock !== null && !lock.released)) return;
	navigator.wakeLock
		.request("screen")
		.then((granted) => {
			lock = granted;
			if (!wantsLock) stayAwake(false);
		})
		.catch(() => {
			// Low battery, or the system forbids it: the screen goes dark, the call goes on.
		});
}

function paint(theme: "system" | "light" | "dark"): void {
	document.documentElement.style.colorScheme = theme === "system" ? "light dark" : theme;
}
