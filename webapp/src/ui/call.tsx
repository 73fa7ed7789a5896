/** The call in front, and those that wait behind it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Call, DIGITS_MAX, canJoin, digitsOf, mediaOf } from "../core/call/state.ts";
import { words } from "../i18n/index.ts";
import type { Messages } from "../i18n/en.ts";
import { DevicePickers } from "./devices.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { Keypad } from "./keypad.tsx";
import { detailOf, nameOf, namesOf } from "./names.ts";
import { Avatar, Meter, Timer, useLevel } from "./pieces.tsx";
import { QualityChip, QualityPanel, SilenceWarning, WayChip } from "./quality.tsx";
import { ReplayBar } from "./replay.tsx";
import { TakeBack, TransferPanel } from "./transfer.tsx";
import { type CallPanel, useView } from "./view.ts";

export function CallScreen({ call }: { call: Call }) {
	const { panel, ongoing, pending } = useView();
	const t = words.value;
	const name = namesOf(call, t);
	const several = (mediaOf(call)?.peers.length ?? 0) > 1;
	const silent = !call.heard && pending.value.some((track) => track.startsWith(`${call.id}/`));
	const heading = useRef<HTMLHeadingElement>(null);
	useEffect(() => heading.current?.focus({ preventScroll: true }), [call.key]);
	const others = ongoing.value.filter((other) => other.key !== call.key);
	return (
		<section
			class="call"
			aria-label={name}
			data-testid="call"
			data-state={stateOf(call)}
			data-call={call.id ?? ""}
			data-direction={call.direction}
			data-heard={String(call.heard)}
			data-panel={panel.value}
		>
			<header class="call-top">
				{call.phase.name === "up" && <QualityChip />}
				{mediaOf(call) !== null && <WayChip />}
			</header>
			<div class="call-who">
				<Portrait call={call} name={name} />
				<h2 ref={heading} tabIndex={-1} data-testid="call-name">
					{name}
				</h2>
				<p class="call-detail number">{several ? "" : detailOf(call.peer, t)}</p>
				<p class="call-state">
					<output aria-live="polite" data-testid="call-state">
						{silent && call.phase.name === "up" && !call.held ? t.connectingSound : stateInWords(call, name, t)}
					</output>
					{call.phase.name === "up" && !call.held && <Timer since={call.phase.since} testid="call-timer" />}
				</p>
				<Hint call={call} name={name} />
				<SilenceWarning call={call} />
			</div>
			{mediaOf(call) !== null && <Meters call={call} name={name} />}
			{call.phase.name === "up" && <ReplayBar call={call} name={name} />}
			<Panel call={call} />
			{call.transfer?.mine === true && <TakeBack call={call} />}
			<Controls call={call} />
			{others.map((other) => (
				<WaitingRow key={other.key} call={other} front={call} />
			))}
		</section>
	);
}

/** The state as tests and styles see it. */
function stateOf(call: Call): string {
	if (call.phase.name !== "up") return call.phase.name;
	if (call.transfer !== null) return "transferring";
	return call.held ? "held" : "up";
}

function stateInWords(call: Call, name: string, t: Messages): string {
	switch (call.phase.name) {
		case "dialing":
		case "abandoned":
		case "calling":
			return t.calling;
		case "ringing":
			return t.ringing;
		case "early":
			return t.early;
		case "answering":
			return t.answering;
		case "up":
			if (call.transfer !== null) {
				const to = nameOf(call.transfer.to, t);
				return call.transfer.mine ? t.transferringTo(to) : t.beingTransferredTo(to);
			}
			if (call.held) return t.onHold;
			return call.heldBy.length > 0 ? t.heldByOther(name) : t.connected;
	}
}

function Portrait({ call, name }: { call: Call; name: string }) {
	const ref = useLevel((levels) => (call.held ? SILENCE : peakOf(call, levels.peers)));
	return (
		<div ref={ref} class={`portrait ${call.phase.name === "ringing" || call.phase.name === "calling" ? "waiting" : ""}`}>
			<Avatar name={call.peer.kind === "service" ? call.peer.id : name} kind={call.peer.kind} size="large" />
		</div>
	);
}

/** As the engine counts, in dB. */
const SILENCE = -127;

function peakOf(call: Call, peers: readonly { room: string; level: number }[]): number {
	const room = mediaOf(call)?.room;
	return Math.max(SILENCE, ...peers.filter((peer) => peer.room === room).map((peer) => peer.level));
}

/** Where there is a mouse there is a keyboard. */
const HAS_KEYS = globalThis.matchMedia?.("(hover: hover) and (pointer: fine)").matches ?? true;

function Hint({ call, name }: { call: Call; name: string }) {
	const { mutedSpeech, hangupArmed, settings, microphone } = useView();
	const t = words.value;
	const speaking = call.muted && mutedSpeech.value;
	const failed = microphone.value.name === "failed";
	const text = hangupArmed.value
		? t.hangUpAgain
		: speaking
			? t.youAreMutedHint
			: call.muted && !failed
				? settings.value.pushToTalk && HAS_KEYS
					? `${t.youAreMuted}. ${t.pushToTalkHint}.`
					: t.youAreMuted
				: call.mutedBy.length > 0
					? t.otherMuted(name)
					: call.digitsHeard !== ""
						? t.otherPressed(name, call.digitsHeard)
						: "";
	const kind = hangupArmed.value || speaking ? "strong" : "";
	return (
		<p class={`hint ${kind}`} role="status" data-testid="call-hint">
			{text}
		</p>
	);
}

function Meters({ call, name }: { call: Call; name: string }) {
	const t = words.value;
	return (
		<div class="meters">
			<span class="meter-name">
				<Icon name={call.muted ? "micOff" : "mic"} size={16} />
				{t.you}
			</span>
			<Meter label={t.levelOfMicrophone} of={(levels) => levels.microphone} off={call.muted || call.held} testid="meter-mic" />
			<span class="meter-name">
				<Icon name="headset" size={16} />
				<span class="ellipsis">{name}</span>
			</span>
			<Meter label={t.levelOf(name)} of={(levels) => peakOf(call, levels.peers)} off={call.held} testid="meter-far" />
		</div>
	);
}

function Controls({ call }: { call: Call }) {
	const { phone, panel } = useView();
	const t = words.value;
	const up = call.phase.name === "up";
	const toggle = (wanted: CallPanel): void => {
		panel.value = panel.value === wanted ? "none" : wanted;
	};
	return (
		<div class="controls">
			<Control
				icon={call.muted ? "micOff" : "mic"}
				label={call.muted ? t.unmute : t.mute}
				pressed={call.muted}
				alarm={call.muted}
				testid="call-mute"
				onClick={() => phone.mute(call.key, !call.muted)}
			/>
			<Control
				icon={call.held ? "play" : "pause"}
				label={call.held ? t.resume : t.hold}
				pressed={call.held}
				disabled={!up || call.transfer !== null}
				testid="call-hold"
				onClick={() => phone.hold(call.key, !call.held)}
			/>
			<Control
				icon="transfer"
				label={t.transfer}
				expanded={panel.value === "transfer"}
				disabled={!up || call.transfer !== null || (mediaOf(call)?.peers.length ?? 0) > 1}
				testid="call-transfer"
				onClick={() => toggle("transfer")}
			/>
			<Control
				icon="pad"
				label={t.keypad}
				expanded={panel.value === "keypad"}
				disabled={mediaOf(call) === null}
				testid="call-keypad"
				onClick={() => toggle("keypad")}
			/>
			<Control
				icon="headset"
				label={t.devicesAction}
				expanded={panel.value === "devices"}
				testid="call-devices"
				onClick={() => toggle("devices")}
			/>
			<button type="button" class="hangup" aria-label={t.hangUp} title={t.hangUp} data-testid="call-hangup" onClick={() => phone.hangup(call.key)}>
				<Icon name="hangup" size={28} />
			</button>
		</div>
	);
}

function Control(props: {
	icon: IconName;
	label: string;
	testid: string;
	onClick: () => void;
	pressed?: boolean;
	expanded?: boolean;
	disabled?: boolean;
	alarm?: boolean;
}) {
	return (
		<button
			type="button"
			class={`control ${props.alarm === true ? "alarm" : ""}`}
			aria-pressed={props.pressed}
			aria-expanded={props.expanded}
			disabled={props.disabled}
			data-testid={props.testid}
			onClick={props.onClick}
		>
			<span class="control-face">
				<Icon name={props.icon} size={24} />
			</span>
			<span class="control-label">{props.label}</span>
		</button>
	);
}

function Panel({ call }: { call: Call }) {
	const { phone, panel } = useView();
	const t = words.value;
	if (panel.value === "keypad" && mediaOf(call) !== null) {
		return (
			<div class="call-panel" data-testid="dtmf">
				<output class="digits number" aria-label={t.digitsSent} data-testid="dtmf-digits">
					{call.digits === "" ? " " : call.digits}
				</output>
				<Keypad prefix="dtmf" onKey={(digit) => phone.digit(call.key, digit)} />
				<DigitString call={call} />
			</div>
		);
	}
	if (panel.value === "transfer" && call.phase.name === "up" && call.transfer === null) return <TransferPanel call={call} />;
	if (panel.value === "quality" && call.phase.name === "up") return <QualityPanel call={call} />;
	if (panel.value === "devices") {
		return (
			<div class="call-panel">
				<DevicePickers />
			</div>
		);
	}
	return null;
}

/** A whole string of keys: an account and its PIN, say. */
function DigitString({ call }: { call: Call }) {
	const { phone } = useView();
	const t = words.value;
	const [typed, setTyped] = useState("");
	const digits = digitsOf(typed);
	return (
		<form
			class="digit-string"
			onSubmit={(event) => {
				event.preventDefault();
				if (digits === null) return;
				phone.digits(call.key, typed);
				setTyped("");
			}}
		>
			<div class="dial-field">
				<input
					type="text"
					inputMode="tel"
					enterkeyhint="send"
					autocomplete="off"
					spellcheck={false}
					maxLength={DIGITS_MAX}
					value={typed}
					placeholder={t.digitString}
					aria-label={t.digitString}
					title={t.digitStringHint}
					data-testid="dtmf-input"
					onInput={(event) => setTyped(event.currentTarget.value)}
				/>
			</div>
			<button type="submit" class="button" disabled={digits === null} data-testid="dtmf-send">
				{t.digitsSend}
			</button>
		</form>
	);
}

function WaitingRow({ call, front }: { call: Call; front: Call }) {
	const { phone } = useView();
	const t = words.value;
	const name = namesOf(call, t);
	return (
		<div class="waiting-row" data-testid="waiting-call" data-call={call.id ?? ""} data-state={stateOf(call)}>
			<Avatar name={call.peer.kind === "service" ? call.peer.id : name} kind={call.peer.kind} size="small" />
			<span class="row-text">
				<span class="row-title">{name}</span>
				<span class="row-sub">{stateInWords(call, name, t)}</span>
			</span>
			{call.phase.name === "up" && (
				<button type="button" class="button small" data-testid="waiting-swap" onClick={() => phone.hold(call.key, false)}>
					<Icon name="swap" size={18} />
					{t.swap}
				</button>
			)}
			{canJoin(front, call) && (
				<>
					<button
						type="button"
						class="button small"
						title={t.connectHint(namesOf(front, t), name)}
						data-testid="waiting-connect"
						onClick={() => phone.connect(call.key, front.key)}
					>
						<Icon name="transfer" size={18} />
						{t.connect}
					</button>
					<button type="button" class="button small" title={t.mergeHint} data-testid="waiting-merge" onClick={() => phone.merge(call.key, front.key)}>
						<Icon name="join" size={18} />
						{t.merge}
					</button>
				</>
			)}
			<button type="button" class="icon-button stop" aria-label={t.hangUp} title={t.hangUp} data-testid="waiting-hangup" onClick={() => phone.hangup(call.key)}>
				<Icon name="hangup" />
			</button>
		</div>
	);
}
