/** Which tiles are to be seen, and in which order. */
import type { Person, Source } from "./messages.ts";
import type { Layout, TileKey } from "./screen.ts";
import { type RoomState, present, stayOf } from "./state.ts";

/** Tiles of the grid, on a wide screen and a narrow one; more are too small for a face. */
export const TILES_MAX = { wide: 25, narrow: 12 };
/** Beside the large one. */
export const STRIP_MAX = 8;

export interface TileView {
	readonly key: TileKey;
	readonly person: Person;
	/** What is shown: a shared screen has a tile of its own. */
	readonly source: Source;
	readonly own: boolean;
}

export interface Arrangement {
	/** The one that is shown large, or null in the grid. */
	readonly large: TileView | null;
	readonly small: readonly TileView[];
	/** People without a tile. */
	readonly hidden: number;
}

export function arrange(state: RoomState, layout: Layout, pinned: TileKey | null, narrow: boolean): Arrangement {
	const all = tilesOf(state);
	const kept = all.find(({ key }) => key === pinned) ?? null;
	const large = kept ?? (layout === "speaker" ? speaker(state, all) : null);
	const others = all.filter((tile) => tile !== large);
	const limit = large !== null ? STRIP_MAX : narrow ? TILES_MAX.narrow : TILES_MAX.wide;
	const small = others.length <= limit ? others : chosen(state, others, limit - 1);
	return { large, small, hidden: others.length - small.length };
}

/** Returns how many columns so many tiles want. */
export function columns(count: number, narrow: boolean): number {
	if (narrow) return count <= 2 ? 1 : count <= 8 ? 2 : 3;
	return Math.max(1, Math.ceil(Math.sqrt(count)));
}

/** In the order in which people came, so that nothing jumps; shared screens first. */
function tilesOf(state: RoomState): readonly TileView[] {
	const own = stayOf(state)?.participant;
	const people = (state.roster?.people ?? []).filter(({ presence }) => presence !== "waiting");
	const screens = people.filter(({ video }) => video.includes("screen"));
	const tile = (source: Source) => (person: Person): TileView => ({
		key: source === "screen" ? `${person.participant}/screen` : person.participant,
		person,
		source,
		own: person.participant === own,
	});
	return [...screens.map(tile("screen")), ...people.map(tile("camera"))];
}

/** A screen that is shown, else whom the relay has in front, else who spoke last, else somebody. */
function speaker(state: RoomState, all: readonly TileView[]): TileView | null {
	const screen = all.find((tile) => tile.source === "screen" && !tile.own);
	if (screen !== undefined) return screen;
	for (const participant of state.front === null ? state.spoke : [state.front, ...state.spoke]) {
		const spoke = all.find((tile) => tile.key === participant && !tile.own);
		if (spoke !== undefined) return spoke;
	}
	return all.find((tile) => !tile.own) ?? all[0] ?? null;
}

/** Screens, ourselves, who spoke lately, raised hands, those with a picture; then the others as they came. */
function chosen(state: RoomState, tiles: readonly TileView[], limit: number): readonly TileView[] {
	const hands = present(state).map(({ participant }) => participant);
	const rank = ({ person, source, own }: TileView): number => {
		if (source === "screen") return 0;
		if (own) return 1;
		const spoke = state.spoke.indexOf(person.participant);
		if (spoke >= 0) return 2 + spoke / 100;
		if (person.hand !== undefined) return 3 + hands.indexOf(person.participant) / 10_000;
		return person.video.length > 0 ? 4 : 5;
	};
	const picked = new Set([...tiles].sort((a, b) => rank(a) - rank(b)).slice(0, limit));
	return tiles.filter((tile) => picked.has(tile));
}
