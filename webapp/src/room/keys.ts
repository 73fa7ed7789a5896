/** The keyboard in a room: M, V, H, C, P, L, Space, Esc. */
import { isTyping } from "../ui/incoming.tsx";
import type { View } from "../ui/view.ts";
import { lowerOrRaiseHand, toggleCamera, toggleLayout, toggleMute, togglePanel } from "./actions.ts";
import { roleOf, speaks } from "./state.ts";

/** Returns what stops listening. */
export function listenToRoomKeys(view: View): () => void {
	const stop = new AbortController();
	const { signal } = stop;
	const down = (event: KeyboardEvent): void => {
		if (!view.roomInFront.value || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
		if (view.room.value.place.name !== "here" || document.querySelector("dialog[open]") !== null) return;
		if (event.key === "Escape") {
			if (close(view)) event.preventDefault();
			return;
		}
		if (isTyping(document.activeElement) || !view.settings.value.shortcuts) return;
		if (event.key === " ") {
			if (talk(view, event)) event.preventDefault();
		} else if (!event.repeat && press(view, event.key.toLowerCase())) {
			event.preventDefault();
		}
	};
	const up = (event: KeyboardEvent): void => {
		if (event.key !== " " || !view.roomScreen.talking.value) return;
		event.preventDefault();
		stopTalking(view);
	};
	document.addEventListener("keydown", down, { signal });
	document.addEventListener("keyup", up, { signal });
	globalThis.addEventListener("blur", () => stopTalking(view), { signal });
	return () => stop.abort();
}

function press(view: View, key: string): boolean {
	switch (key) {
		case "m":
			toggleMute(view);
			return true;
		case "v":
			toggleCamera(view);
			return true;
		case "h":
			lowerOrRaiseHand(view);
			return true;
		case "c":
			togglePanel(view, "chat");
			return true;
		case "p":
			togglePanel(view, "people");
			return true;
		case "l":
			toggleLayout(view);
			return true;
		default:
			return false;
	}
}

/** Space opens a muted microphone, unless it would press the button in focus. */
function talk(view: View, event: KeyboardEvent): boolean {
	const { settings, room, roomScreen, phone } = view;
	const may = settings.value.pushToTalk && speaks(roleOf(room.value)) && (room.value.muted || roomScreen.talking.value);
	if (!may || document.activeElement instanceof HTMLButtonElement) return false;
	if (!event.repeat && !roomScreen.talking.value) {
		roomScreen.talking.value = true;
		phone.room.mute(false);
	}
	return true;
}

function stopTalking({ roomScreen, phone }: View): void {
	if (!roomScreen.talking.value) return;
	roomScreen.talking.value = false;
	phone.room.mute(true);
}

/** Closes one thing that is open; never the room. */
function close({ roomScreen }: View): boolean {
	const open = roomScreen;
	if (open.reacting.value) open.reacting.value = false;
	else if (open.chosen.value !== null) open.chosen.value = null;
	else if (open.panel.value !== "none") open.panel.value = "none";
	else if (open.pinned.value !== null) open.pinned.value = null;
	else return false;
	return true;
}
