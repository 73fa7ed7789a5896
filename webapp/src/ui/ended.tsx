/** After the call: how it went, and once more. */
import { useEffect, useRef } from "preact/hooks";
import type { EndedCall } from "../core/call/state.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { detailOf, nameOf } from "./names.ts";
import { Avatar } from "./pieces.tsx";
import { mosInWords } from "./quality.tsx";
import { formatDuration } from "./time.ts";
import { useView } from "./view.ts";

/** An ordinary end needs no farewell. */
const STAY_MS = 4_000;

export function EndedScreen({ ended }: { ended: EndedCall }) {
	const { phone, ready } = useView();
	const t = words.value;
	const name = nameOf(ended.peer, t);
	const { outcome } = ended;
	const plain = outcome.kind === "cause" && (outcome.cause === "normal" || outcome.cause === "cancelled");
	const again = useRef<HTMLButtonElement>(null);
	useEffect(() => {
		again.current?.focus({ preventScroll: true });
		if (!plain) return;
		const timer = setTimeout(() => phone.dismissEnded(), STAY_MS);
		return () => clearTimeout(timer);
	}, [ended.key]);
	return (
		<section class="call ended" data-testid="ended" data-cause={outcome.kind === "cause" ? outcome.cause : outcome.code}>
			<div class="call-who">
				<div class="portrait">
					<Avatar name={ended.peer.kind === "service" ? ended.peer.id : name} kind={ended.peer.kind} size="large" />
				</div>
				<h2>{name}</h2>
				<p class="call-detail number">{detailOf(ended.peer, t)}</p>
				<p class={`call-state ${plain ? "" : "problem"}`} role="status" data-testid="ended-cause">
					{outcome.kind === "cause" ? t.causes[outcome.cause] : t.refusals[outcome.code]}
				</p>
				{ended.telephones.map((telephone) => (
					<p key={telephone.participant} class="hint" data-testid="ended-quality">
						{t.telephoneWas(mosInWords(telephone.from, t), mosInWords(telephone.to, t))}
					</p>
				))}
				<p class="hint">{ended.durationMs === null ? "" : t.lasted(formatDuration(ended.durationMs))}</p>
			</div>
			<div class="ended-buttons">
				<button type="button" class="button" data-testid="ended-close" onClick={() => phone.dismissEnded()}>
					{t.done}
				</button>
				<button
					ref={again}
					type="button"
					class="button go"
					disabled={!ready.value || ended.peer.id === "anonymous"}
					data-testid="ended-redial"
					onClick={() => phone.redial(ended.peer)}
				>
					<Icon name="phone" />
					{t.callAgain}
				</button>
			</div>
		</section>
	);
}
