/** What the components read: the telephone's stores as signals, and what only the screen knows. */
import { type ReadonlySignal, computed, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { incoming, ongoing } from "../core/call/state.ts";
import { type HistoryEntry, missed } from "../core/history.ts";
import type { Phone } from "../core/phone.ts";
import type { Store } from "../core/store.ts";
import { createRoomScreen } from "../room/screen.ts";

export type Tab = "people" | "keypad" | "recent";

/** What is open beside the call. */
export type CallPanel = "none" | "keypad" | "devices" | "quality" | "transfer";

export type View = ReturnType<typeof createView>;

export function createView(phone: Phone) {
	const calls = read(phone.calls);
	const line = read(phone.line);
	const history = signal<readonly HistoryEntry[]>([]);
	let unsubscribe = (): void => {};
	const follow = (): void => {
		unsubscribe();
		const entries = phone.history.value?.entries;
		history.value = entries?.value ?? [];
		unsubscribe = entries?.subscribe((list) => (history.value = list)) ?? (() => {});
	};
	phone.history.subscribe(follow);
	follow();
	const room = read(phone.room.state);
	const talking = computed(() => ongoing(calls.value));
	return {
		phone,
		session: read(phone.session.state),
		settings: read(phone.settings),
		people: read(phone.people.list),
		self: read(phone.people.self),
		own: read(phone.own),
		rules: read(phone.desk.rules),
		messages: read(phone.desk.messages),
		parked: read(phone.desk.parked),
		services: read(phone.desk.services),
		line,
		link: read(phone.link),
		levels: read(phone.levels),
		quality: read(phone.monitor.quality),
		stats: read(phone.monitor.stats),
		notices: read(phone.notices),
		waitingDial: read(phone.waitingDial),
		mutedSpeech: read(phone.mutedSpeech),
		replay: read(phone.replay),
		pending: read(phone.pending),
		microphone: read(phone.voice.microphone),
		audio: read(phone.voice.audio),
		devices: read(phone.voice.devices),
		calls,
		history,
		missed: computed(() => missed(history.value)),
		ongoing: talking,
		room,
		roomSpeaking: read(phone.room.speaking),
		roomScreen: createRoomScreen(),
		/** A room, or its door, is what is to be seen; a call goes before it. */
		roomInFront: computed(() => room.value.place.name !== "none" && talking.value.length === 0),
		captions: read(phone.room.captions),
		uploads: read(phone.room.files.uploads),
		video: read(phone.room.video),
		videoSending: read(phone.room.sending),
		check: read(phone.check.state),
		incoming: computed(() => incoming(calls.value)),
		/** The phone can call. */
		ready: computed(() => line.value.name === "ready"),
		tab: signal<Tab>("people"),
		panel: signal<CallPanel>("none"),
		settingsOpen: signal(false),
		dialed: signal(""),
		/** H was pressed once. */
		hangupArmed: signal(false),
		/** Space is held down. */
		talking: signal(false),
	};
}

function read<T>(store: Store<T>): ReadonlySignal<T> {
	const made = signal(store.value);
	store.subscribe((value) => (made.value = value));
	return made;
}

export const ViewContext = createContext<View | null>(null);

export function useView(): View {
	const view = useContext(ViewContext);
	if (view === null) throw new Error("the view is missing");
	return view;
}
