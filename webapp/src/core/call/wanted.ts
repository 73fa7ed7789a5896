/** What sounds, rooms and comforts the present calls ask for. Whoever carries it out compares with what is. */
import type { RoomMedia, Tone } from "../media/api.ts";
import { type Call, type CallsState, hearsNext, incoming, mediaOf, ongoing } from "./state.ts";

export interface WantedRoom {
	readonly media: RoomMedia;
	readonly muted: boolean;
	readonly held: boolean;
}

export interface Wanted {
	readonly tone: Tone | null;
	readonly rooms: readonly WantedRoom[];
	readonly microphone: boolean;
	/** The screen stays on. */
	readonly awake: boolean;
}

export function wanted(state: CallsState): Wanted {
	const here = ongoing(state);
	return {
		tone: tone(state, here),
		rooms: here.flatMap((call) => {
			const media = mediaOf(call);
			return media === null ? [] : [{ media, muted: call.muted, held: call.held || call.transfer?.mine === true }];
		}),
		microphone: here.length > 0,
		awake: here.length > 0,
	};
}

function tone(state: CallsState, here: readonly Call[]): Tone | null {
	const talking = here.some((call) => call.phase.name === "up" || call.phase.name === "answering");
	if (incoming(state).length > 0) return talking ? "waiting" : "ring";
	const [front] = here;
	if (talking) return front?.transfer?.mine === false && !hearsNext(front) ? "ringback" : null;
	if (here.some((call) => call.direction === "out" && call.phase.name === "ringing")) return "ringback";
	return here.length === 0 && state.ended?.tone === true ? "busy" : null;
}
