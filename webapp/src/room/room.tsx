/**
 * The room: tiles, panels, controls, and what is to be known.
 *
 * Hooks for tests are `data-testid`; stable, change them only together with `e2e`. In the whole room:
 *
 * | where | ids |
 * | --- | --- |
 * | the phone | `join-room`; while a call is in front `room-behind` |
 * | lobby | `door` (`data-room`) `door-form` `door-room` `door-name` `door-pin` `door-muted` `door-listen` `door-failure` (`data-code`) `door-join` `door-back`; `door-mic` `door-mic-failed` `door-level` `mic-select` `speaker-select` `speaker-test`; `door-network` (`data-state`, `data-grade`) `door-check` `door-lacking` |
 * | waiting, left | `room-waiting` `waiting-leave`; `room-left` (`data-why`) `left-rejoin` `left-back` |
 * | room | `room` (`data-room`: the id, `data-name`, `data-self`: participant, `data-layout`, `data-count`, `data-panel`, `data-muted`, `data-again`: the place is being asked for again) `room-title` `room-count` |
 * | tiles | `tiles`; `tile` (`data-participant`, `data-source`: `camera` `screen`, `data-kind`, `data-role`, `data-presence`, `data-muted`, `data-speaking`, `data-hand`, `data-held`, `data-own`, `data-picture`) with `tile-name` `tile-pin` `tile-pop-out` `picture` `kind` `sign`; `tiles-more`; `alone` with `copy-link` |
 * | controls | `room-controls` `room-mute` `room-camera` `room-blur` `room-screen` `room-hand` `room-react` `reactions` `reaction` (`data-emoji`) `room-layout` `room-people` `room-people-badge` `room-chat` `room-chat-badge` `room-hold` `room-settings` `room-leave` |
 * | people | `panel-people` `panel-close` `roster`; `roster-person` (attributes as `tile`) with `roster-name` `person-more` `person-details` `person-pin` `person-write` `person-mute` `person-hand` `person-role` `person-level` `person-remove` `person-ban` (the last two want a second press: `data-armed`); `waiting-person` (`data-participant`) `admit` `refuse`; `copy-link` `room-number` |
 * | hosts | `host-tools` `mute-all` `lock-room` `lobby-room` `end-room` (second press) `dial-out` `dial-out-number` `dial-out-call`; `dial` (`data-number`, `data-state`, `data-cause`) |
 * | chat | `panel-chat` `chat` `chat-drop` (`data-dragging`); `message` (`data-from`, `data-to`) with `message-name` `message-text`, or `file` (`data-type`) with `file-save` `file-name` `file-preview` (`data-shown`) `file-failure` (`data-code`); `composer` `chat-to` `chat-input` `chat-send` `chat-attach` `chat-file`; `upload` (`data-code`) with `upload-failure` `upload-drop` |
 * | to be known | `banner-recording` `banner-listening` `banner-held` `banner-muted` `banner-again` and those of the phone; `room-news` (read aloud) `toast` `captions` `caption` (`data-participant`) |
 */
import { useEffect, useState } from "preact/hooks";
import { words } from "../i18n/index.ts";
import { Banner, Banners } from "../ui/banners.tsx";
import { Icon } from "../ui/icons.tsx";
import { IconButton } from "../ui/pieces.tsx";
import { useView } from "../ui/view.ts";
import { Chat } from "./chat.tsx";
import { Controls } from "./controls.tsx";
import { Door, Left, Waiting } from "./door.tsx";
import { inWords } from "./news.ts";
import { CopyLink, PeopleList } from "./people.tsx";
import { reset } from "./screen.ts";
import { type News, type Place, nameOf, present, stayOf } from "./state.ts";
import { cleanName } from "./text.ts";
import { Tile, countInWords } from "./tile.tsx";
import { arrange, columns } from "./tiles.ts";

/** Below it things lie above one another: as in `styles/shell.css`. */
const NARROW = "(max-width: 759px)";
/** Long enough to read a sentence. */
const TOAST_MS = 6_000;

/** Everything of rooms: whichever side of the door one is on. */
export function RoomScreen() {
	const { room, roomScreen } = useView();
	const { place } = room.value;
	useEffect(() => {
		if (place.name !== "here") reset(roomScreen);
	}, [place.name]);
	switch (place.name) {
		case "none":
			return null;
		case "door":
			return (
				<div class="door-screen">
					<Banners />
					<Door key={place.room} place={place} />
				</div>
			);
		case "waiting":
			return (
				<div class="door-screen">
					<Banners />
					<Waiting stay={place.stay} />
				</div>
			);
		case "left":
			return <Left place={place} />;
		case "here":
			return <Inside place={place} />;
	}
}

function Inside({ place }: { place: Extract<Place, { name: "here" }> }) {
	const { room, roomScreen } = useView();
	const state = room.value;
	const { stay } = place;
	const panel = roomScreen.panel.value;
	const title = state.roster?.title || state.roster?.name || stay.wish.room;
	return (
		<div
			class="room"
			data-testid="room"
			data-room={stay.id}
			data-name={state.roster?.name ?? stay.wish.room}
			data-self={stay.participant}
			data-layout={roomScreen.layout.value}
			data-count={(state.roster?.people ?? []).filter(({ presence }) => presence !== "waiting").length}
			data-panel={panel}
			data-muted={state.muted}
			data-again={stay.again}
		>
			<div class="room-banners">
				<Banners />
				<RoomBanners again={stay.again} />
			</div>
			<main class="room-main">
				<header class="room-head">
					<h1 data-testid="room-title">
						<bdi class="ellipsis">{cleanName(title)}</bdi>
					</h1>
					{state.roster?.locked === true && <Icon name="lock" size={17} />}
					<span class="muted small" data-testid="room-count">
						{countInWords(state)}
					</span>
				</header>
				<Tiles />
				<Alone />
				<Toasts />
				<Captions />
				<Controls />
			</main>
			{panel !== "none" && <SidePanel key={panel} name={panel} />}
			<Announcements />
		</div>
	);
}

function Tiles() {
	const { room, roomScreen } = useView();
	const t = words.value.room;
	const narrow = useNarrow();
	const { large, small, hidden } = arrange(room.value, roomScreen.layout.value, roomScreen.pinned.value, narrow);
	const count = small.length + (hidden > 0 ? 1 : 0);
	const more = hidden > 0 && (
		<li class="tile more">
			<button type="button" data-testid="tiles-more" onClick={() => (roomScreen.panel.value = "people")}>
				{t.more(hidden)}
			</button>
		</li>
	);
	return (
		<div class={`tiles ${large === null ? "grid" : "stage-view"}`} style={{ "--columns": String(columns(count, narrow)) }} data-testid="tiles">
			{large !== null && (
				<ul class="tile-stage" aria-label={t.speakerView}>
					<Tile key={large.key} tile={large} large={true} />
				</ul>
			)}
			{count > 0 && (
				<ul class={large === null ? "tile-grid" : "tile-strip"} aria-label={t.tiles}>
					{small.map((tile) => (
						<Tile key={tile.key} tile={tile} large={false} />
					))}
					{more}
				</ul>
			)}
		</div>
	);
}

/** Who is the only one learns how others come. */
function Alone() {
	const { room, roomScreen } = useView();
	const t = words.value.room;
	const number = room.value.roster?.number;
	if (present(room.value).length > 1 || roomScreen.panel.value === "people") return null;
	return (
		<div class="alone" data-testid="alone">
			<p class="small">
				<strong>{t.nobodyElse}.</strong> {t.invite} {number !== undefined && t.dialIn(number)}
			</p>
			<CopyLink />
		</div>
	);
}

/** What telephones say, for those who read along. */
function Captions() {
	const { captions, room } = useView();
	const lines = captions.value;
	return (
		<div class="captions" role="log" aria-live="off" aria-label={words.value.room.captions} data-testid="captions">
			{lines.map(({ participant, id, text }) => (
				<p key={`${participant}/${id}`} data-testid="caption" data-participant={participant} dir="auto">
					<bdi class="caption-name">{nameOf(room.value, participant)}</bdi> {text}
				</p>
			))}
		</div>
	);
}

function useNarrow(): boolean {
	const query = globalThis.matchMedia?.(NARROW);
	const [narrow, setNarrow] = useState(query?.matches ?? false);
	useEffect(() => {
		const change = (event: MediaQueryListEvent): void => setNarrow(event.matches);
		query?.addEventListener("change", change);
		return () => query?.removeEventListener("change", change);
	}, []);
	return narrow;
}

function SidePanel({ name }: { name: "people" | "chat" }) {
	const { roomScreen } = useView();
	const t = words.value.room;
	const title = t[name];
	return (
		<aside class="room-panel" aria-label={title} data-testid={`panel-${name}`}>
			<header>
				<h2>{title}</h2>
				<IconButton icon="close" label={t.closePanel} testid="panel-close" onClick={() => (roomScreen.panel.value = "none")} />
			</header>
			{name === "people" ? <PeopleList /> : <Chat />}
		</aside>
	);
}

function RoomBanners({ again }: { again: boolean }) {
	const { phone, room, mutedSpeech, line } = useView();
	const t = words.value.room;
	const { roster, held, muted, mutedBy } = room.value;
	const listening = (roster?.listening ?? []).map(cleanName).filter((name) => name !== "");
	return (
		<div class="banners" aria-live="polite">
			{again && line.value.name === "ready" && <Banner testid="banner-again">{t.comingBack}</Banner>}
			{roster?.recording === true && (
				<Banner testid="banner-recording" icon="record">
					{t.recording}
				</Banner>
			)}
			{listening.length > 0 && (
				<Banner testid="banner-listening" kind="info">
					{t.listening(listening.join(", "))}
				</Banner>
			)}
			{held && (
				<Banner testid="banner-held" action={t.resume} onAction={() => phone.room.hold(false)}>
					{t.heldBanner}
				</Banner>
			)}
			{muted && mutedBy !== null && (
				<Banner testid="banner-muted" icon="micOff" action={t.unmute} onAction={() => phone.room.mute(false)}>
					{t.mutedBy(mutedBy)}
				</Banner>
			)}
			{muted && mutedBy === null && mutedSpeech.value && (
				<Banner testid="banner-speech" kind="info" icon="micOff" action={t.unmute} onAction={() => phone.room.mute(false)}>
					{t.micOff}. {t.holdSpace}
				</Banner>
			)}
		</div>
	);
}

/** What happened lately, for a few seconds. */
function Toasts() {
	const { room } = useView();
	return (
		<div class="toasts" aria-hidden="true">
			{room.value.news.map((news) => (
				<Toast key={news.id} news={news} />
			))}
		</div>
	);
}

function Toast({ news }: { news: News }) {
	const { phone, room } = useView();
	const text = inWords(news, room.value, words.value);
	useEffect(() => {
		const timer = setTimeout(() => phone.room.fade(news.id), TOAST_MS);
		return () => clearTimeout(timer);
	}, []);
	if (text === null) return null;
	return (
		<p class={`toast ${news.about === "refused" ? "warn" : ""}`} data-testid="toast" data-code={news.about === "refused" ? news.code : ""}>
			<bdi>{text}</bdi>
		</p>
	);
}

/** The same for those who do not see it: one sentence after the other. */
function Announcements() {
	const { room } = useView();
	const sentences = room.value.news.map((news) => ({ id: news.id, text: inWords(news, room.value, words.value) }));
	return (
		<div class="sr" role="status" aria-live="polite" data-testid="room-news">
			{sentences.map(({ id, text }) => text !== null && <p key={id}>{text}</p>)}
		</div>
	);
}

/** A room that waits behind a call. */
export function RoomBehind() {
	const { room, ongoing } = useView();
	const stay = stayOf(room.value);
	if (stay === null || ongoing.value.length === 0) return null;
	return (
		<div class="banner info" data-testid="room-behind">
			<Icon name="people" size={18} />
			<bdi class="banner-text">{words.value.room.callInFront(cleanName(stay.wish.room))}</bdi>
		</div>
	);
}
