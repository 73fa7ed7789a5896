/** The bar below the tiles. */
import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { words } from "../i18n/index.ts";
import { Icon, type IconName } from "../ui/icons.tsx";
import { useLevel } from "../ui/pieces.tsx";
import { useView } from "../ui/view.ts";
import { lowerOrRaiseHand, toggleBlur, toggleCamera, toggleLayout, toggleMute, togglePanel, toggleScreen } from "./actions.ts";
import { goTo } from "./route.ts";
import { isHost, selfOf, speaks, roleOf, unread, waiting } from "./state.ts";

export const REACTIONS: readonly string[] = ["👍", "👏", "❤️", "😂", "😮", "🎉"];

export function Controls() {
	const view = useView();
	const { phone, room, roomScreen, video, videoSending } = view;
	const t = words.value.room;
	const state = room.value;
	const self = selfOf(state);
	const mayspeak = speaks(roleOf(state));
	const news = unread(state);
	const wait = isHost(state) ? waiting(state).length : 0;
	const engine = video.value;
	const { camera, screen } = videoSending.value;
	const large = roomScreen.layout.value === "speaker";
	return (
		<div class="room-controls" role="toolbar" aria-label={t.controls} data-testid="room-controls">
			{mayspeak && <MuteControl />}
			{mayspeak && engine?.support.send === true && (
				<Control icon={camera ? "camera" : "cameraOff"} label={camera ? t.cameraOff : t.cameraOn} short={t.cameraOn} pressed={camera} testid="room-camera" keys="V" onClick={() => toggleCamera(view)} />
			)}
			{camera && engine?.support.blur === true && (
				<Control icon="blur" label={t.blur} short={t.blurShort} pressed={roomScreen.blurred.value} testid="room-blur" onClick={() => toggleBlur(view)} />
			)}
			{mayspeak && engine?.support.screen === true && (
				<Control icon="screen" label={screen ? t.screenOff : t.screenOn} short={t.screen} pressed={screen} testid="room-screen" onClick={() => toggleScreen(view)} />
			)}
			<Control
				icon="hand"
				label={self?.hand === undefined ? t.raiseHand : t.lowerHand}
				short={t.hand}
				pressed={self?.hand !== undefined}
				testid="room-hand"
				keys="H"
				onClick={() => lowerOrRaiseHand(view)}
			/>
			<Reactions />
			<Control icon="layout" label={`${t.layout}: ${large ? t.toGrid : t.toSpeaker}`} short={t.layout} pressed={large} testid="room-layout" keys="L" onClick={() => toggleLayout(view)} />
			<Control
				icon="people"
				label={t.people}
				expanded={roomScreen.panel.value === "people"}
				testid="room-people"
				keys="P"
				badge={wait}
				badgeLabel={t.wantIn(wait)}
				onClick={() => togglePanel(view, "people")}
			/>
			<Control
				icon="chat"
				label={t.chat}
				expanded={roomScreen.panel.value === "chat"}
				testid="room-chat"
				keys="C"
				badge={news}
				badgeLabel={t.newMessages(news)}
				onClick={() => togglePanel(view, "chat")}
			/>
			<Control
				icon={state.held ? "play" : "pause"}
				label={state.held ? t.resume : t.hold}
				pressed={state.held}
				testid="room-hold"
				onClick={() => phone.room.hold(!state.held)}
			/>
			<Control icon="settings" label={words.value.settings} short={t.settingsShort} testid="room-settings" onClick={() => (view.settingsOpen.value = true)} />
			<Control
				icon="hangup"
				label={t.leave}
				tone="stop"
				testid="room-leave"
				onClick={() => {
					phone.room.leave();
					goTo(null);
				}}
			/>
		</div>
	);
}

function MuteControl() {
	const view = useView();
	const { room } = view;
	const t = words.value.room;
	const { muted } = room.value;
	const level = useLevel((levels) => levels.microphone);
	return (
		<Control icon={muted ? "micOff" : "mic"} label={muted ? t.unmute : t.mute} pressed={muted} testid="room-mute" keys="M" onClick={() => toggleMute(view)}>
			<span ref={level} class="control-level" aria-hidden="true" />
		</Control>
	);
}

function Control(props: {
	icon: IconName;
	label: string;
	/** Where the label is long. */
	short?: string;
	testid: string;
	onClick: () => void;
	pressed?: boolean;
	expanded?: boolean;
	keys?: string;
	tone?: "stop";
	badge?: number;
	badgeLabel?: string;
	children?: ComponentChildren;
}) {
	const { badge = 0 } = props;
	return (
		<button
			type="button"
			class={`room-control ${props.tone ?? ""}`}
			aria-label={badge > 0 ? `${props.label}, ${props.badgeLabel}` : props.label}
			title={props.keys === undefined ? props.label : `${props.label} (${props.keys})`}
			aria-pressed={props.pressed}
			aria-expanded={props.expanded}
			aria-keyshortcuts={props.keys}
			data-testid={props.testid}
			onClick={props.onClick}
		>
			{props.children}
			<Icon name={props.icon} size={22} />
			<span class="room-control-name" aria-hidden="true">
				{props.short ?? props.label}
			</span>{" "}
			{badge > 0 && (
				<span class="badge" aria-hidden="true" data-testid={`${props.testid}-badge`}>
					{badge}
				</span>
			)}
		</button>
	);
}

function Reactions() {
	const { phone, roomScreen } = useView();
	const t = words.value.room;
	const open = roomScreen.reacting.value;
	const first = useRef<HTMLButtonElement>(null);
	useEffect(() => {
		if (open) first.current?.focus();
	}, [open]);
	return (
		<span class="reacting">
			{open && (
				<span class="reactions" role="group" aria-label={t.reactions} data-testid="reactions">
					{REACTIONS.map((emoji, index) => (
						<button
							key={emoji}
							ref={index === 0 ? first : null}
							type="button"
							class="reaction"
							aria-label={t.sendReaction(emoji)}
							data-testid="reaction"
							data-emoji={emoji}
							onClick={() => {
								phone.room.act({ act: "react", emoji });
								roomScreen.reacting.value = false;
							}}
						>
							{emoji}
						</button>
					))}
				</span>
			)}
			<Control icon="smile" label={t.react} expanded={open} testid="room-react" onClick={() => (roomScreen.reacting.value = !open)} />
		</span>
	);
}
