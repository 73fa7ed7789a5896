/** The room in the address: `/#/room/NAME`. */

const PREFIX = "#/room";

/** Names are as long as signaling allows them. */
export const ROOM_CHARS_MAX = 64;

/** Returns the room's name, empty when it is yet to be typed, or null when the address leads elsewhere. */
export function roomOf(hash: string): string | null {
	if (hash !== PREFIX && !hash.startsWith(`${PREFIX}/`)) return null;
	const written = hash.slice(PREFIX.length + 1);
	try {
		return decodeURIComponent(written).trim().slice(0, ROOM_CHARS_MAX);
	} catch {
		// A stray per cent sign is nothing but itself.
		return written.trim().slice(0, ROOM_CHARS_MAX);
	}
}

/** Returns the address that leads into a room. */
export function linkTo(room: string): string {
	return `${location.origin}${location.pathname}${PREFIX}/${encodeURIComponent(room)}`;
}

/** Goes to a room, or by null out of rooms. */
export function goTo(room: string | null): void {
	if (roomOf(location.hash) === room) return;
	location.hash = room === null ? "" : `${PREFIX}/${encodeURIComponent(room)}`;
}

export interface Doors {
	open(room: string): void;
	close(): void;
}

/** Follows the address from now on; returns what ends that. */
export function followAddress(doors: Doors): () => void {
	const follow = (): void => {
		const room = roomOf(location.hash);
		if (room === null) doors.close();
		else doors.open(room);
	};
	globalThis.addEventListener("hashchange", follow);
	follow();
	return () => globalThis.removeEventListener("hashchange", follow);
}
