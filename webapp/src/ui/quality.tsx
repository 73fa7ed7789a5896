/** How the call sounds: a chip, and the figures behind it. */
import { type Call, type Telephone, silenceOf } from "../core/call/state.ts";
import type { LinkState } from "../core/media/api.ts";
import type { Heard } from "../core/schema.ts";
import type { Messages } from "../i18n/en.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { useView } from "./view.ts";

const BARS: Record<string, number> = { unknown: 0, poor: 1, fair: 2, good: 3 };

export function QualityChip() {
	const { quality, panel } = useView();
	const t = words.value;
	const { grade } = quality.value;
	const open = panel.value === "quality";
	return (
		<button
			type="button"
			class={`chip quality ${grade}`}
			aria-expanded={open}
			title={t.qualityTitle}
			data-testid="quality"
			data-grade={grade}
			onClick={() => (panel.value = open ? "none" : "quality")}
		>
			<span class="signal-bars" aria-hidden="true">
				{[1, 2, 3].map((bar) => (
					<i key={bar} class={bar <= (BARS[grade] ?? 0) ? "on" : ""} />
				))}
			</span>
			{t.grades[grade]}
		</button>
	);
}

/** Says that sound goes the slower way; silent on the good one. */
export function WayChip() {
	const { link } = useView();
	const t = words.value;
	const state = link.value;
	if (state.name !== "connected" || state.way !== "websocket") return null;
	return (
		<span class="chip way" role="status" title={t.byTcpHint} data-testid="way-tcp">
			<Icon name="warning" size={15} />
			{t.byTcp}
		</span>
	);
}

/** How sound travels, in words; null while it does not. */
export function wayInWords(state: LinkState, t: Messages): string | null {
	return state.name === "connected" ? `${t.ways[state.way]}, ${state.voice === "datagram" ? t.byDatagram : t.byStream}` : null;
}

export function QualityPanel({ call }: { call: Call }) {
	const { quality, stats, link } = useView();
	const t = words.value;
	const q = quality.value;
	const ms = (value: number | null) => (value === null ? t.unknownValue : t.ms(value));
	const percent = (value: number | null) => (value === null ? t.unknownValue : t.percent(value));
	const way = wayInWords(link.value, t) ?? t.unknownValue;
	const received = stats.value?.peers.reduce((sum, peer) => sum + peer.received, 0);
	const figures: readonly (readonly [string, string, string])[] = [
		["rtt", t.roundTrip, ms(q.roundTripMs)],
		["loss", t.loss, percent(q.lossPercent)],
		["buffer", t.buffer, ms(q.bufferMs)],
		["concealed", t.concealed, percent(q.concealedPercent)],
		["output", t.output, ms(q.outputMs)],
		["sent", t.sentPackets, String(stats.value?.sent ?? t.unknownValue)],
		["received", t.receivedPackets, String(received ?? t.unknownValue)],
		["rating", t.rating, q.rating === null ? t.unknownValue : q.rating.toFixed(0)],
		["way", t.transport, way],
		["moves", t.moves, String(stats.value?.moves ?? t.unknownValue)],
	];
	return (
		<div class="call-panel figures" data-testid="quality-panel">
			<h3>{t.qualityTitle}</h3>
			<dl>
				{figures.map(([id, label, value]) => (
					<div key={id}>
						<dt>{label}</dt>
						<dd class="number" data-testid={`stat-${id}`}>
							{value}
						</dd>
					</div>
				))}
				{call.telephones.map((telephone) => (
					<TelephoneFigures key={telephone.participant} telephone={telephone} />
				))}
			</dl>
		</div>
	);
}

/** What the server measures at a telephone, both ways. */
function TelephoneFigures({ telephone: { from, to } }: { telephone: Telephone }) {
	const t = words.value;
	const sides = [
		["telephone-from", t.telephoneSays, from],
		["telephone-to", t.telephoneHears, to],
	] as const;
	return (
		<>
			{sides.map(([id, label, heard]) => (
				<div key={id} class="wide">
					<dt>{label}</dt>
					<dd class="number" data-testid={`stat-${id}`} data-mos={heard.mos ?? ""} data-silent={heard.silent ?? ""}>
						{heard.silent === undefined ? inFigures(heard, t) : t.silences[heard.silent]}
					</dd>
				</div>
			))}
		</>
	);
}

function inFigures(heard: Heard, t: Messages): string {
	const ms = (value: number | undefined) => (value === undefined ? t.unknownValue : t.ms(value));
	const lost = heard.lost_percent === undefined ? t.unknownValue : t.percent(heard.lost_percent);
	return t.telephoneFigures(mosInWords(heard, t), ms(heard.delay_ms), ms(heard.jitter_ms), lost);
}

/** One decimal: more would only pretend. */
export function mosInWords(heard: Heard, t: Messages): string {
	return heard.mos === undefined ? t.unknownValue : heard.mos.toFixed(1);
}

/** Says that one side is not heard, and the likeliest reason. */
export function SilenceWarning({ call }: { call: Call }) {
	const silence = silenceOf(call);
	const t = words.value;
	return (
		<p class="hint strong" role="status" data-testid="call-silence" data-silence={silence ?? ""} hidden={silence === null}>
			{silence === null ? "" : t.silences[silence]}
		</p>
	);
}
