/** What is wrong at the moment, in words, with what can be done about it. */
import { useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { Notice } from "../core/phone.ts";
import type { Messages } from "../i18n/en.ts";
import { words } from "../i18n/index.ts";
import { Icon, type IconName } from "./icons.tsx";
import { RoomBehind } from "../room/room.tsx";
import { nameOf } from "./names.ts";
import { useView } from "./view.ts";

/** Long enough to read a sentence twice. */
const NOTICE_MS = 8_000;

export function Banners() {
	return (
		<div class="banners" aria-live="polite">
			<LineBanner />
			<LinkBanner />
			<MicrophoneBanner />
			<SoundBanner />
			<Notices />
			<RoomBehind />
		</div>
	);
}

export function Banner(props: { testid: string; kind?: "warn" | "info"; icon?: IconName; children: ComponentChildren; action?: string; onAction?: () => void }) {
	return (
		<div class={`banner ${props.kind ?? "warn"}`} data-testid={props.testid}>
			<Icon name={props.icon ?? (props.kind === "info" ? "headset" : "warning")} size={18} />
			<span class="banner-text">{props.children}</span>
			{props.action !== undefined && (
				<button type="button" class="button small" onClick={props.onAction}>
					{props.action}
				</button>
			)}
		</div>
	);
}

function LineBanner() {
	const { phone, line } = useView();
	const t = words.value;
	const state = line.value;
	const seconds = useSecondsUntil(state.name === "waiting" ? state.retryAt : null);
	switch (state.name) {
		case "idle":
		case "ready":
			return null;
		case "connecting":
			if (state.attempt === 0) return <LateBanner testid="banner-line" text={t.lineConnecting} />;
			return <Banner testid="banner-line">{t.lineLost}</Banner>;
		case "waiting":
			return (
				<Banner testid="banner-line" action={t.retryNow} onAction={() => phone.retryNow()}>
					{state.attempt <= 1 ? t.lineLost : t.lineRetry(seconds)}
				</Banner>
			);
		case "stopped":
			if (state.reason === "replaced") {
				return (
					<Banner testid="banner-line" action={t.useHere} onAction={() => phone.takeOver()}>
						{t.stopped.replaced}
					</Banner>
				);
			}
			if (state.reason === "unsupported_version") {
				return (
					<Banner testid="banner-line" action={t.reload} onAction={() => location.reload()}>
						{t.stopped.unsupported_version}
					</Banner>
				);
			}
			return <Banner testid="banner-line">{t.stopped[state.reason]}</Banner>;
	}
}

/** What is quick, as it should be, says nothing. */
function LateBanner({ testid, text }: { testid: string; text: string }) {
	const [late, setLate] = useState(false);
	useEffect(() => {
		const timer = setTimeout(() => setLate(true), 1_000);
		return () => clearTimeout(timer);
	}, []);
	return late ? (
		<Banner testid={testid} kind="info">
			{text}
		</Banner>
	) : null;
}

function LinkBanner() {
	const { phone, link, line } = useView();
	const t = words.value;
	const state = link.value;
	// While nothing gets through one banner is enough.
	if (line.value.name !== "ready") return null;
	if (state.name === "reconnecting") {
		return <Banner testid="banner-link">{state.attempt <= 1 ? t.linkRetrying : t.link[state.reason]}</Banner>;
	}
	if (state.name !== "failed") return null;
	return (
		<Banner testid="banner-link" action={t.tryAgain} onAction={() => phone.retryNow()}>
			{t.link[state.reason]}
		</Banner>
	);
}

function MicrophoneBanner() {
	const { phone, microphone, waitingDial, ongoing, room } = useView();
	const t = words.value;
	const waiting = waitingDial.value;
	if (waiting !== null) {
		return (
			<div class="banner warn tall" role="alertdialog" aria-label={t.devices[waiting.code]} data-testid="banner-mic" data-code={waiting.code}>
				<Icon name="micOff" size={18} />
				<span class="banner-text">
					<strong>{t.devices[waiting.code]}.</strong> {t.deviceHelp[waiting.code]}
				</span>
				<span class="banner-buttons">
					<button type="button" class="button small" data-testid="mic-retry" onClick={() => void phone.dial(waiting.to, waiting.peer)}>
						{t.tryAgain}
					</button>
					<button type="button" class="button small" data-testid="mic-silent" onClick={() => phone.dialSilently()} title={nameOf(waiting.peer, t)}>
						{t.callSilently}
					</button>
					<button type="button" class="button small" onClick={() => phone.forgetDial()}>
						{t.cancel}
					</button>
				</span>
			</div>
		);
	}
	const state = microphone.value;
	if (state.name === "opening") return <LateBanner testid="banner-mic" text={t.allowMicrophone} />;
	if (state.name !== "failed" || (ongoing.value.length === 0 && room.value.place.name !== "here")) return null;
	return (
		<div class="banner warn" data-testid="banner-mic" data-code={state.code}>
			<Icon name="micOff" size={18} />
			<span class="banner-text">
				<strong>{t.devices[state.code]}.</strong> {t.nobodyHearsYou} {t.deviceHelp[state.code]}
			</span>
			<button type="button" class="button small" onClick={() => phone.voice.retryMicrophone()}>
				{t.tryAgain}
			</button>
		</div>
	);
}

function SoundBanner() {
	const { phone, audio } = useView();
	if (audio.value !== "blocked") return null;
	return (
		<button type="button" class="banner info as-button" data-testid="banner-sound" onClick={() => void phone.voice.wake()}>
			<Icon name="headset" size={18} />
			<span class="banner-text">{words.value.clickForSound}</span>
		</button>
	);
}

function Notices() {
	const { notices } = useView();
	return (
		<>
			{notices.value.map((notice) => (
				<NoticeBanner key={notice.id} notice={notice} />
			))}
		</>
	);
}

function NoticeBanner({ notice }: { notice: Notice }) {
	const { phone } = useView();
	const t = words.value;
	useEffect(() => {
		const timer = setTimeout(() => phone.dismissNotice(notice.id), NOTICE_MS);
		return () => clearTimeout(timer);
	}, []);
	const text = noticeInWords(notice, t);
	return (
		<div class="banner info" data-testid="notice" data-code={notice.code}>
			<Icon name="warning" size={18} />
			<span class="banner-text">{text}</span>
			<button type="button" class="icon-button" aria-label={t.dismiss} onClick={() => phone.dismissNotice(notice.id)}>
				<Icon name="close" size={16} />
			</button>
		</div>
	);
}

function noticeInWords(notice: Notice, t: Messages): string {
	switch (notice.about) {
		case "device":
			return `${t.devices[notice.code]}. ${t.deviceHelp[notice.code]}`;
		case "voice":
			return t.voice[notice.code];
		case "replay":
			return t.replayFailures[notice.code];
		case "transfer":
			return t.callIsBack(t.causes[notice.code]);
		case "request":
			return t.refusals[notice.code];
	}
}

function useSecondsUntil(at: number | null): number {
	const [now, setNow] = useState(Date.now());
	useEffect(() => {
		if (at === null) return;
		setNow(Date.now());
		const timer = setInterval(() => setNow(Date.now()), 500);
		return () => clearInterval(timer);
	}, [at]);
	return at === null ? 0 : Math.max(0, Math.ceil((at - now) / 1000));
}
