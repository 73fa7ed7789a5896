/** One person, or the screen that somebody shows. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../i18n/index.ts";
import { Icon, type IconName } from "../ui/icons.tsx";
import { Avatar, IconButton } from "../ui/pieces.tsx";
import { useView } from "../ui/view.ts";
import type { Kind, Person } from "./messages.ts";
import { type RoomState, nameOf } from "./state.ts";
import type { TileView } from "./tiles.ts";
import type { Watch } from "../video/api.ts";

/** Sound of a telephone below this is worth a word: mean opinion score. */
const POOR_MOS = 3.1;

export const KIND_ICONS: Record<Kind, IconName | null> = { browser: null, telephone: "phone", recorder: "record", program: "program" };

export function Tile({ tile, large }: { tile: TileView; large: boolean }) {
	const { room, roomSpeaking, roomScreen, video, videoSending } = useView();
	const t = words.value.room;
	const { key, person, source, own } = tile;
	const { participant } = person;
	const name = nameOf(room.value, participant);
	const pinned = roomScreen.pinned.value === key;
	const speaking = source === "camera" && isSpeaking(person, roomSpeaking.value);
	const ownMuted = own ? room.value.muted : person.muted;
	const shows = own ? videoSending.value[source] : person.video.includes(source);
	const label = source === "screen" ? t.screenOf(name) : own ? t.youName(name) : name;
	return (
		<li
			class={`tile ${large ? "large" : ""}`}
			data-testid="tile"
			data-participant={participant}
			data-source={source}
			data-kind={person.kind}
			data-role={person.role}
			data-presence={person.presence}
			data-muted={ownMuted}
			data-speaking={speaking}
			data-hand={person.hand !== undefined}
			data-held={person.held}
			data-own={own}
			data-picture={shows && video.value !== null}
		>
			{shows && video.value !== null ? (
				own ? (
					<Preview source={source} label={source === "screen" ? t.screenOf(name) : t.pictureOf(name)} />
				) : (
					<Picture tile={tile} label={source === "screen" ? t.screenOf(name) : t.pictureOf(name)} />
				)
			) : (
				<span class="tile-face">
					{source === "screen" ? (
						<Icon name="screen" size={40} />
					) : (
						<Avatar name={name} kind={person.kind === "telephone" ? "phone" : "browser"} />
					)}
				</span>
			)}
			{person.hand !== undefined && source === "camera" && (
				<span class="tile-hand" title={t.handUp(person.hand)} aria-hidden="true">
					<Icon name="hand" size={20} />
				</span>
			)}
			<span class="tile-name">
				{KIND_ICONS[person.kind] !== null && <KindIcon kind={person.kind} />}
				{ownMuted && source === "camera" && <Icon name="micOff" size={15} />}
				<bdi class="ellipsis" data-testid="tile-name">
					{label}
				</bdi>
				<span class="sr">{inWords(person, ownMuted, source === "camera")}</span>
				{person.presence === "away" && <span class="tile-mark warn">{t.away}</span>}
				{person.held && <span class="tile-mark">{t.onHold}</span>}
				{isPoor(person) && (
					<span class="tile-mark warn" title={t.quality(person.quality?.toFixed(1) ?? "")}>
						{t.poorQuality}
					</span>
				)}
			</span>
			<span class="tile-pin">
				<IconButton
					icon="pin"
					label={pinned ? t.unpinPerson(label) : t.pinPerson(label)}
					pressed={pinned}
					testid="tile-pin"
					onClick={() => (roomScreen.pinned.value = pinned ? null : key)}
				/>
			</span>
			<Signs participant={participant} source={source} />
		</li>
	);
}

export function isSpeaking(person: Person, heard: ReadonlySet<string>): boolean {
	return person.presence === "here" && !person.held && (person.speaking || heard.has(person.participant));
}

export function isPoor({ quality }: Person): boolean {
	return quality !== undefined && quality < POOR_MOS;
}

export function KindIcon({ kind }: { kind: Kind }) {
	const icon = KIND_ICONS[kind];
	const label = words.value.room.kinds[kind];
	if (icon === null) return null;
	return (
		<span class="kind" title={label} data-testid="kind" data-kind={kind}>
			<Icon name={icon} size={15} />
			<span class="sr">{label}</span>
		</span>
	);
}

/** What eyes see by icons. */
function inWords(person: Person, muted: boolean, camera: boolean): string {
	const t = words.value.room;
	if (!camera) return "";
	const parts = [muted ? t.muted : "", person.hand === undefined ? "" : t.handUp(person.hand), person.role === "host" ? t.roles.host : ""];
	const said = parts.filter((part) => part !== "");
	return said.length === 0 ? "" : `, ${said.join(", ")}`;
}

/** Reactions float up from who sent them. */
function Signs({ participant, source }: { participant: string; source: string }) {
	const { phone, room } = useView();
	if (source !== "camera") return null;
	const mine = room.value.reactions.filter(({ from }) => from === participant);
	return (
		<span class="tile-signs" aria-hidden="true">
			{mine.map(({ id, emoji }) => (
				<Sign key={id} emoji={emoji} onGone={() => phone.room.fade(id)} />
			))}
		</span>
	);
}

const SIGN_MS = 3_500;

function Sign({ emoji, onGone }: { emoji: string; onGone: () => void }) {
	useEffect(() => {
		const timer = setTimeout(onGone, SIGN_MS);
		return () => clearTimeout(timer);
	}, []);
	return (
		<span class="sign" data-testid="sign">
			{emoji}
		</span>
	);
}

/** What our own camera or screen sees. */
function Preview({ source, label }: { source: "camera" | "screen"; label: string }) {
	const { video } = useView();
	const element = useRef<HTMLVideoElement>(null);
	useEffect(() => {
		if (element.current !== null) element.current.srcObject = video.value?.preview(source) ?? null;
	}, [video.value, source]);
	return <video ref={element} class={`picture ${source === "camera" ? "mirrored" : "whole"}`} autoplay muted playsInline aria-label={label} />;
}

/** Somebody else's picture, as large as the tile needs it. */
function Picture({ tile, label }: { tile: TileView; label: string }) {
	const { video } = useView();
	const t = words.value.room;
	const canvas = useRef<HTMLCanvasElement>(null);
	const watch = useRef<Watch | null>(null);
	const canPopOut = useSignal(false);
	const engine = video.value;
	const { participant } = tile.person;
	useEffect(() => {
		const element = canvas.current;
		if (engine === null || element === null) return;
		const size = () => ({ w: Math.round(element.clientWidth * devicePixelRatio), h: Math.round(element.clientHeight * devicePixelRatio) });
		const watched = engine.watch(participant, tile.source, element, size());
		watch.current = watched;
		canPopOut.value = engine.support.pictureInPicture;
		const observer = new ResizeObserver(() => watched.resize(size()));
		observer.observe(element);
		return () => {
			observer.disconnect();
			watch.current = null;
			watched.stop();
		};
	}, [engine, participant, tile.source]);
	return (
		<>
			<canvas ref={canvas} class={`picture ${tile.source === "screen" ? "whole" : ""}`} role="img" aria-label={label} data-testid="picture" />
			{canPopOut.value && (
				<span class="tile-out">
					<IconButton icon="popOut" label={t.popOut} testid="tile-pop-out" onClick={() => void watch.current?.popOut()} />
				</span>
			)}
		</>
	);
}

/** Who is shown, for those who do not see it. */
export function countInWords(state: RoomState): string {
	const here = (state.roster?.people ?? []).filter(({ presence }) => presence !== "waiting").length;
	return words.value.room.inRoom(here);
}
