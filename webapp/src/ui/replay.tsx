/** What was just said, once more. */
import { useEffect, useState } from "preact/hooks";
import type { Call } from "../core/call/state.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { useView } from "./view.ts";

/** How far back one may go, s: a sentence, and what led to it. */
export const REPLAY_SECONDS = [10, 30] as const;

const TICK_MS = 200;

export function ReplayBar({ call, name }: { call: Call; name: string }) {
	const { phone, replay } = useView();
	const t = words.value;
	const state = replay.value;
	const mine = state.name !== "idle" && state.room === call.id;
	if (mine && state.name === "playing") return <Playing since={state.since} totalMs={state.totalMs} />;
	return (
		<div class="replay" role="group" aria-label={t.hearAgain(name)} data-testid="replay" data-state={mine ? "asking" : "idle"}>
			{REPLAY_SECONDS.map((seconds) => (
				<button
					key={seconds}
					type="button"
					class="chip"
					disabled={mine || call.held || !call.heard}
					aria-label={t.hearAgainSeconds(seconds)}
					title={t.hearAgainSeconds(seconds)}
					data-testid={`replay-${seconds}`}
					onClick={() => phone.hearAgain(call.key, seconds)}
				>
					<Icon name="again" size={16} />
					{t.seconds(seconds)}
				</button>
			))}
			{mine && (
				<output class="replay-word" aria-live="polite">
					{t.replayAsking}
				</output>
			)}
		</div>
	);
}

function Playing({ since, totalMs }: { since: number; totalMs: number }) {
	const { phone } = useView();
	const t = words.value;
	const [now, setNow] = useState(Date.now());
	useEffect(() => {
		const timer = setInterval(() => setNow(Date.now()), TICK_MS);
		return () => clearInterval(timer);
	}, []);
	const left = Math.ceil(Math.max(0, totalMs - (now - since)) / 1000);
	const share = Math.min(1, Math.max(0, (now - since) / Math.max(1, totalMs)));
	return (
		<div class="replay playing" role="group" aria-label={t.replaying} data-testid="replay" data-state="playing">
			<span class="replay-word">
				<Icon name="again" size={16} />
				<output aria-live="polite">{t.replaying}</output>
				<span class="number" aria-hidden="true">
					{t.seconds(left)}
				</span>
			</span>
			<span
				class="replay-track"
				role="progressbar"
				aria-label={t.replaying}
				aria-valuemin={0}
				aria-valuemax={100}
				aria-valuenow={Math.round(share * 100)}
				style={{ "--share": share.toFixed(3) }}
			/>
			<button type="button" class="button small" data-testid="replay-live" onClick={() => phone.backToLive()}>
				<Icon name="live" size={16} />
				{t.backToLive}
			</button>
		</div>
	);
}
