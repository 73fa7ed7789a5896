/** What happened, in words. */
import type { Messages } from "../i18n/en.ts";
import type { Happening } from "./messages.ts";
import { type News, type RoomState, nameOf, stayOf } from "./state.ts";

/** Returns the sentence, or null for what needs none. */
export function inWords(news: News, state: RoomState, t: Messages): string | null {
	switch (news.about) {
		case "happening":
			return happeningInWords(news.event, state, t);
		case "chat": {
			const name = nameOf(state, news.message.from);
			if (news.message.file !== undefined) return t.room.news.file(name);
			return news.message.to === undefined ? t.room.news.message(name) : t.room.news.privateMessage(name);
		}
		case "refused":
			return t.refusals[news.code];
		case "picture":
			return t.room.video[news.code];
		case "back":
			return t.room.news.youAreBack;
	}
}

function happeningInWords(event: Happening, state: RoomState, t: Messages): string | null {
	const own = stayOf(state)?.participant;
	const words = t.room.news;
	const mine = "participant" in event && event.participant === own;
	const byMe = event.by !== undefined && event.by === own;
	const name = "participant" in event ? nameOf(state, event.participant) : "";
	switch (event.type) {
		case "joined":
			return mine ? null : words.joined(name);
		case "waiting":
			return words.waiting(name);
		case "away":
			return mine ? null : words.away(name);
		case "back":
			return mine ? null : words.back(name);
		case "left":
			return event.why === "removed" || event.why === "banned" ? words.removed(name) : words.left(name);
		case "muted":
			// Who mutes oneself is seen to have done so; that we were muted, a banner says.
			return !event.muted || byMe || mine || event.by === event.participant ? null : words.muted(name);
		case "all_muted":
			return words.allMuted;
		case "hand":
			return event.raised && !mine ? words.handUp(name) : null;
		case "role":
			return mine ? words.youRole(t.room.roles[event.role]) : words.role(name, t.room.roles[event.role]);
		case "locked":
			return event.locked ? words.locked : words.unlocked;
		case "lobby":
			return event.lobby ? words.lobbyOn : words.lobbyOff;
		case "level":
		case "held":
			return null;
	}
}
