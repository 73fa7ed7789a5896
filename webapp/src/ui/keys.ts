/** The keyboard: digits, Enter, A, D, M, T, H, Space, Esc. */
import { mediaOf } from "../core/call/state.ts";
import { isTyping } from "./incoming.tsx";
import { REPLAY_SECONDS } from "./replay.tsx";
import type { View } from "./view.ts";

const [SHORT_S, LONG_S] = REPLAY_SECONDS;

/** Between the two presses of H. */
const HANGUP_MS = 2_000;

/** Returns what stops listening. */
export function listenToKeys(view: View): () => void {
	const stop = new AbortController();
	const { signal } = stop;
	let armed: ReturnType<typeof setTimeout> | undefined;
	const disarm = (): void => {
		clearTimeout(armed);
		view.hangupArmed.value = false;
	};

	const hangup = (): void => {
		const call = view.ongoing.value[0];
		if (call === undefined) return;
		if (view.hangupArmed.value) {
			disarm();
			view.phone.hangup(call.key);
			return;
		}
		view.hangupArmed.value = true;
		armed = setTimeout(disarm, HANGUP_MS);
	};

	const down = (event: KeyboardEvent): void => {
		if (view.roomInFront.value && view.incoming.value.length === 0) return;
		if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
		if (document.querySelector("dialog[open]") !== null) return;
		if (event.key === "Escape") {
			disarm();
			closeSomething(view);
			return;
		}
		if (isTyping(document.activeElement) || !view.settings.value.shortcuts) return;
		if (event.key === " ") {
			if (pushToTalk(view, event)) event.preventDefault();
			return;
		}
		if (event.repeat) return;
		if (shortcut(view, event.key, hangup)) event.preventDefault();
	};

	const up = (event: KeyboardEvent): void => {
		if (event.key === " " && view.talking.value) {
			event.preventDefault();
			stopTalking(view);
		}
	};

	document.addEventListener("keydown", down, { signal });
	document.addEventListener("keyup", up, { signal });
	globalThis.addEventListener("blur", () => stopTalking(view), { signal });
	return () => stop.abort();
}

function shortcut(view: View, key: string, hangup: () => void): boolean {
	const call = view.ongoing.value[0];
	const ringing = view.incoming.value[0];
	switch (key.toLowerCase()) {
		case "m":
			if (call !== undefined) view.phone.mute(call.key, !call.muted);
			return call !== undefined;
		case "t":
			if (call?.phase.name !== "up" || call.transfer !== null) return false;
			view.panel.value = view.panel.value === "transfer" ? "none" : "transfer";
			return true;
		case "r":
			return again(view, key === "R" ? LONG_S : SHORT_S);
		case "h":
			hangup();
			return call !== undefined;
		case "a":
			if (ringing !== undefined) view.phone.answer(ringing.key);
			return ringing !== undefined;
		case "d":
			if (ringing !== undefined) view.phone.hangup(ringing.key);
			return ringing !== undefined;
		default:
			return digit(view, key);
	}
}

/** Hears the other side again, or stops it. */
function again(view: View, seconds: number): boolean {
	const call = view.ongoing.value[0];
	if (view.replay.value.name !== "idle") view.phone.backToLive();
	else if (call?.phase.name === "up" && call.heard) view.phone.hearAgain(call.key, seconds);
	else return false;
	return true;
}

function digit(view: View, key: string): boolean {
	if (!/^[0-9*#+]$/.test(key)) return false;
	const call = view.ongoing.value[0];
	if (call !== undefined) {
		if (mediaOf(call) === null || key === "+") return false;
		view.phone.digit(call.key, key);
		return true;
	}
	view.tab.value = view.tab.value === "recent" ? "recent" : "keypad";
	view.dialed.value += key;
	document.getElementById("dial")?.focus();
	return true;
}

/** Space opens a muted microphone, unless it would press the button in focus. */
function pushToTalk(view: View, event: KeyboardEvent): boolean {
	const call = view.ongoing.value[0];
	if (!view.settings.value.pushToTalk || call?.phase.name !== "up" || !(call.muted || view.talking.value)) return false;
	if (document.activeElement instanceof HTMLButtonElement) return false;
	if (!event.repeat && !view.talking.value) {
		view.talking.value = true;
		view.phone.mute(call.key, false);
	}
	return true;
}

function stopTalking(view: View): void {
	if (!view.talking.value) return;
	view.talking.value = false;
	const call = view.ongoing.value[0];
	if (call !== undefined) view.phone.mute(call.key, true);
}

/** Never a call: what ends one is pressed on purpose. */
function closeSomething(view: View): void {
	if (view.replay.value.name !== "idle") view.phone.backToLive();
	else if (view.panel.value !== "none") view.panel.value = "none";
	else if (view.calls.value.ended !== null) view.phone.dismissEnded();
	else if (view.waitingDial.value !== null) view.phone.forgetDial();
	else view.dialed.value = "";
}
