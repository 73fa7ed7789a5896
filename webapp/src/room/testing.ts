/** A room as the server describes it, for tests. */
import type { ChatMessage, Joined, Person, RoomMedia, Roster } from "./messages.ts";

export const ROOM = "4f".repeat(16);

export function person(participant: string, name: string, change: Partial<Person> = {}): Person {
	return { participant, name, kind: "browser", role: "speaker", presence: "here", muted: false, speaking: false, level_db: 0, held: false, video: [], ...change };
}

export function roster(people: Person[], change: Partial<Roster> = {}): Roster {
	return { version: 1, room: ROOM, name: "board", title: "", locked: false, lobby: false, recording: false, listening: [], people, ...change };
}

export function media(change: Partial<RoomMedia> = {}): RoomMedia {
	return { room: ROOM, participant: "p1", namespace: ["room", ROOM, "p1"], token: "t", seats: 5, video: false, ...change };
}

export function joined(change: Partial<Joined> = {}): Joined {
	return {
		room: { id: ROOM, name: "board" },
		participant: "p1",
		key: "k1",
		role: "speaker",
		state: "here",
		media: media(),
		roster: roster([person("p1", "Anna"), person("p2", "Bert")]),
		chat: [],
		...change,
	};
}

export function message(n: number, from: string, text: string, change: Partial<ChatMessage> = {}): ChatMessage {
	return { n, from, name: from, text, at_ms: 1_790_000_000_000 + n, ...change };
}
