/** Before the room, beside it, and after it: the lobby, waiting to be let in, and the end. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../i18n/index.ts";
import { DevicePickers } from "../ui/devices.tsx";
import { Icon } from "../ui/icons.tsx";
import { Meter } from "../ui/pieces.tsx";
import { useView } from "../ui/view.ts";
import type { CheckState } from "./check.ts";
import { lacking } from "./lacking.ts";
import { ROOM_CHARS_MAX, goTo } from "./route.ts";
import type { Place, Stay, Wish } from "./state.ts";
import { cleanName } from "./text.ts";

const NAME_CHARS_MAX = 64;
const PIN_CHARS_MAX = 32;

export function Door({ place }: { place: Extract<Place, { name: "door" }> }) {
	const t = words.value.room;
	const { phone } = useView();
	const title = useRef<HTMLHeadingElement>(null);
	useEffect(() => title.current?.focus(), []);
	useEffect(() => () => phone.voice.test(false), []);
	return (
		<main class="door" data-testid="door" data-room={place.room}>
			<header class="door-head">
				<h1 ref={title} tabIndex={-1}>
					{place.room === "" ? t.joinARoom : <bdi>{t.doorTitle(cleanName(place.room))}</bdi>}
				</h1>
				<button type="button" class="link" data-testid="door-back" onClick={() => goTo(null)}>
					{t.toThePhone}
				</button>
			</header>
			<div class="door-parts">
				<JoinForm place={place} />
				<section class="door-devices" aria-label={t.devices}>
					<Microphone />
					<DevicePickers />
					<Network />
					<Lacking />
				</section>
			</div>
		</main>
	);
}

function JoinForm({ place }: { place: Extract<Place, { name: "door" }> }) {
	const { phone, session, ready } = useView();
	const t = words.value;
	const identity = session.value.name === "in" ? session.value.identity : null;
	const room = useSignal(place.room);
	const name = useSignal(identity?.user.name ?? "");
	const pin = useSignal("");
	const listen = useSignal(false);
	const muted = useSignal(false);
	/** The microphone failed; one more press goes in without. */
	const silent = useSignal(false);
	const asked = useSignal(false);
	const pinField = useRef<HTMLInputElement>(null);
	const wantsPin = place.failure === "pin_required" || place.failure === "pin_wrong";
	useEffect(() => {
		if (wantsPin) pinField.current?.focus();
	}, [place.failure]);
	const busy = place.wish !== null || asked.value;
	const target = place.room === "" ? room.value.trim() : place.room;
	const submit = async (event: Event): Promise<void> => {
		event.preventDefault();
		if (target === "" || busy || !ready.value) return;
		void phone.voice.wake();
		const wish: Wish = { room: target, name: name.value.trim(), pin: pin.value.trim(), listen: listen.value };
		if (!wish.listen && !silent.value) {
			asked.value = true;
			silent.value = (await phone.voice.prepareMicrophone()) !== null;
			asked.value = false;
			if (silent.value) return;
		}
		phone.room.join(wish, muted.value || silent.value);
		if (place.room === "") goTo(target);
	};
	return (
		<form class="door-form" data-testid="door-form" onSubmit={(event) => void submit(event)}>
			{place.room === "" && (
				<label class="field">
					<span>{t.room.roomName}</span>
					<input
						value={room.value}
						required
						maxLength={ROOM_CHARS_MAX}
						autocomplete="off"
						spellcheck={false}
						data-testid="door-room"
						onInput={(event) => (room.value = event.currentTarget.value)}
					/>
				</label>
			)}
			<label class="field">
				<span>{t.room.yourNameHere}</span>
				<input
					value={name.value}
					maxLength={NAME_CHARS_MAX}
					autocomplete="name"
					spellcheck={false}
					dir="auto"
					data-testid="door-name"
					onInput={(event) => (name.value = event.currentTarget.value)}
				/>
			</label>
			<label class="field">
				<span>
					{t.room.pin}
					{!wantsPin && <span class="small"> · {t.room.pinHint}</span>}
				</span>
				<input
					ref={pinField}
					type="password"
					inputMode="numeric"
					autocomplete="off"
					maxLength={PIN_CHARS_MAX}
					value={pin.value}
					aria-invalid={wantsPin}
					aria-describedby="door-failure"
					data-testid="door-pin"
					onInput={(event) => (pin.value = event.currentTarget.value)}
				/>
			</label>
			<div>
				<label class="check">
					<input type="checkbox" checked={muted.value} disabled={listen.value} data-testid="door-muted" onChange={(event) => (muted.value = event.currentTarget.checked)} />
					<span>{t.room.joinMuted}</span>
				</label>
				<label class="check">
					<input type="checkbox" checked={listen.value} data-testid="door-listen" onChange={(event) => (listen.value = event.currentTarget.checked)} />
					<span>
						{t.room.listenOnly} <span class="small muted">· {t.room.listenOnlyHint}</span>
					</span>
				</label>
			</div>
			<p id="door-failure" class="problem" role="alert" data-testid="door-failure" data-code={place.failure ?? ""}>
				{place.failure === null ? "" : t.refusals[place.failure]}
			</p>
			<button type="submit" class="button primary wide" disabled={busy || target === "" || !ready.value} data-testid="door-join">
				{busy ? t.room.joining : silent.value ? t.room.joinSilently : t.room.join}
			</button>
		</form>
	);
}

function Microphone() {
	const { phone, microphone } = useView();
	const t = words.value;
	const on = useSignal(false);
	const use = (): void => {
		on.value = true;
		phone.voice.retryMicrophone();
		phone.voice.test(true);
	};
	useEffect(() => {
		// Who has allowed it before is not asked again.
		void isAllowed().then((allowed) => {
			if (allowed) use();
		});
	}, []);
	const state = microphone.value;
	if (!on.value) {
		return (
			<button type="button" class="button" data-testid="door-mic" onClick={use}>
				<Icon name="mic" size={18} />
				{t.room.checkMicrophone}
			</button>
		);
	}
	if (state.name === "failed") {
		return (
			<div class="stack" data-testid="door-mic-failed" data-code={state.code}>
				<p class="problem small" role="alert">{`${t.devices[state.code]}. ${t.deviceHelp[state.code]}`}</p>
				<button type="button" class="button small" onClick={use}>
					{t.tryAgain}
				</button>
			</div>
		);
	}
	return (
		<div class="door-meter">
			<Icon name="mic" size={18} />
			<Meter label={t.levelOfMicrophone} of={(levels) => levels.microphone} testid="door-level" />
			<p class="small muted">{t.room.microphoneWorks}</p>
		</div>
	);
}

async function isAllowed(): Promise<boolean> {
	try {
		const { state } = await navigator.permissions.query({ name: "microphone" as PermissionName });
		return state === "granted";
	} catch {
		return false;
	}
}

function Network() {
	const { phone, check, link } = useView();
	const t = words.value;
	const state = check.value;
	const running = state.name === "running";
	return (
		<div class="door-network" data-testid="door-network" data-state={state.name} data-grade={state.name === "done" ? state.result.grade : ""}>
			<button type="button" class="button small" disabled={running || link.value.name !== "connected"} data-testid="door-check" onClick={() => void phone.check.run()}>
				<Icon name="bars" size={18} />
				{running ? t.room.checking : state.name === "idle" ? t.room.checkNetwork : t.room.checkAgain}
			</button>
			<p class="small" role="status">
				{resultInWords(state)}
			</p>
		</div>
	);
}

function resultInWords(state: CheckState): string {
	const t = words.value;
	if (state.name === "failed") return t.room.checkFailed;
	if (state.name !== "done") return "";
	const { way, roundTripMs, loss, grade } = state.result;
	const roundTrip = roundTripMs === null ? t.unknownValue : t.ms(roundTripMs);
	const figures = loss === null ? t.room.checkNoLoss(t.ways[way], roundTrip) : t.room.checkFigures(t.ways[way], roundTrip, t.percent(loss * 100));
	const verdict = { good: t.room.checkGood, fair: t.room.checkFair, poor: t.room.checkPoor }[grade];
	return `${verdict} ${figures}`;
}

function Lacking() {
	const { devices } = useView();
	const t = words.value.room;
	const found = lacking(devices.value.canChooseSpeaker);
	if (found.length === 0) return null;
	return (
		<div class="small muted" data-testid="door-lacking">
			<p>{t.lacks}</p>
			<ul class="bullets">
				{found.map((what) => (
					<li key={what}>{t[what]}</li>
				))}
			</ul>
		</div>
	);
}

export function Waiting({ stay }: { stay: Stay }) {
	const { phone } = useView();
	const t = words.value.room;
	const title = useRef<HTMLHeadingElement>(null);
	useEffect(() => title.current?.focus(), []);
	return (
		<main class="welcome" data-testid="room-waiting">
			<div class="welcome-card">
				<span class="waiting-sign" aria-hidden="true">
					<Icon name="clock" size={40} />
				</span>
				<h1 ref={title} tabIndex={-1}>
					{t.waitingTitle}
				</h1>
				<p class="muted">{t.waitingHint}</p>
				<button
					type="button"
					class="button wide"
					data-testid="waiting-leave"
					onClick={() => {
						phone.room.leave();
						goTo(null);
					}}
				>
					{t.stopWaiting}
				</button>
				<p class="small muted">
					<bdi>{t.doorTitle(cleanName(stay.wish.room))}</bdi>
				</p>
			</div>
		</main>
	);
}

export function Left({ place }: { place: Extract<Place, { name: "left" }> }) {
	const { phone } = useView();
	const t = words.value.room;
	const title = useRef<HTMLHeadingElement>(null);
	useEffect(() => title.current?.focus(), []);
	return (
		<main class="welcome" data-testid="room-left" data-why={place.why}>
			<div class="welcome-card">
				<h1 ref={title} tabIndex={-1}>
					{t.leftWhy[place.why]}
				</h1>
				<p class="muted">
					<bdi>{t.doorTitle(cleanName(place.wish.room))}</bdi>
				</p>
				{place.why !== "banned" && (
					<button type="button" class="button primary wide" data-testid="left-rejoin" onClick={() => phone.room.open(place.wish.room)}>
						{t.rejoin}
					</button>
				)}
				<button type="button" class="button wide" data-testid="left-back" onClick={() => goTo(null)}>
					{t.toThePhone}
				</button>
			</div>
		</main>
	);
}
