/** The last calls of this browser. */
import { useEffect } from "preact/hooks";
import type { HistoryEntry } from "../core/history.ts";
import { locale, words } from "../i18n/index.ts";
import { Icon, type IconName } from "./icons.tsx";
import { detailOf, nameOf } from "./names.ts";
import { Avatar } from "./pieces.tsx";
import { formatDuration, formatWhen } from "./time.ts";
import { useView } from "./view.ts";

/** After this long on the screen a missed call counts as seen. */
const SEEN_MS = 1_500;

export function RecentPanel() {
	const { phone, history, tab, missed } = useView();
	const t = words.value;
	const visible = tab.value === "recent";
	const count = missed.value;
	useEffect(() => {
		if (!visible || count === 0) return;
		const timer = setTimeout(() => phone.history.value?.markSeen(), SEEN_MS);
		return () => clearTimeout(timer);
	}, [visible, count]);
	return (
		<section class="panel" aria-label={t.recent}>
			<div class="scroll">
				{history.value.length === 0 && (
					<div class="empty">
						<p>{t.noRecent}</p>
					</div>
				)}
				<ul class="rows" data-testid="history">
					{history.value.map((entry) => (
						<Entry key={entry.id} entry={entry} />
					))}
				</ul>
				{history.value.length > 0 && (
					<button type="button" class="link with-icon" onClick={() => phone.history.value?.clear()}>
						<Icon name="trash" size={16} />
						{t.clearRecent}
					</button>
				)}
			</div>
		</section>
	);
}

function Entry({ entry }: { entry: HistoryEntry }) {
	const { phone, ready } = useView();
	const t = words.value;
	const name = nameOf(entry.peer, t);
	const detail = entry.durationMs === null ? t.results[entry.result] : formatDuration(entry.durationMs);
	const number = detailOf(entry.peer, t);
	return (
		<li class={`row ${entry.seen ? "" : "fresh"}`} data-testid="history-entry" data-result={entry.result} data-direction={entry.direction}>
			<Avatar name={entry.peer.kind === "service" ? entry.peer.id : name} kind={entry.peer.kind} size="small" />
			<span class="row-text">
				<span class="row-title">{name}</span>
				<span class={`row-sub ${entry.result === "missed" ? "problem" : ""}`}>
					<Icon name={iconOf(entry)} size={14} />
					{detail}
					{entry.peer.kind === "phone" && number !== "" && <span class="number"> · {number}</span>}
				</span>
			</span>
			<time class="row-time">{formatWhen(entry.at, Date.now(), locale.value, t.yesterday)}</time>
			<button
				type="button"
				class="icon-button dial"
				disabled={!ready.value || entry.peer.id === "anonymous"}
				aria-label={t.redialTo(name)}
				title={t.redialTo(name)}
				data-testid="history-call"
				onClick={() => phone.redial(entry.peer)}
			>
				<Icon name="phone" />
			</button>
		</li>
	);
}

function iconOf(entry: HistoryEntry): IconName {
	if (entry.result === "missed") return "missed";
	return entry.direction === "in" ? "arrowIn" : "arrowOut";
}
