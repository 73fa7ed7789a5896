/** What only the room's screen knows: what is open, and how people are shown. */
import { computed, signal } from "@preact/signals";

export type Panel = "none" | "people" | "chat";
export type Layout = "grid" | "speaker";

/** Who, and what of them: `p2`, or `p2/screen`. */
export type TileKey = string;

export type RoomScreen = ReturnType<typeof createRoomScreen>;

export function createRoomScreen() {
	const panel = signal<Panel>("none");
	return {
		panel,
		chatOpen: computed(() => panel.value === "chat"),
		layout: signal<Layout>("grid"),
		pinned: signal<TileKey | null>(null),
		/** The choice of reactions is open. */
		reacting: signal(false),
		/** Keys, devices and what else is seldom wanted. */
		more: signal(false),
		/** To whom the next message goes; null: everyone. */
		writeTo: signal<string | null>(null),
		/** Whose details are open in the list of people. */
		chosen: signal<string | null>(null),
	
		/** What is behind us is blurred. */
		blurred: signal(false),
		/** Space is held down. */
		talking: signal(false),
	};
}

/** Forgets what belonged to the room before. */
export function reset(screen: RoomScreen): void {
	screen.panel.value = "none";
	screen.pinned.value = null;
	screen.reacting.value = false;
	screen.more.value = false;
	screen.writeTo.value = null;
	screen.chosen.value = null;
	screen.blurred.value = false;
	screen.talking.value = false;
}
