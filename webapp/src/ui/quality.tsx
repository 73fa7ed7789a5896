/** How the call sounds: a chip, and the figures behind it. */
import type { LinkState } from "../core/media/api.ts";
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

export function QualityPanel() {
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
			</dl>
		</div>
	);
}
