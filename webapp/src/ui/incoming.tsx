/** Somebody calls. */
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../core/call/state.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { detailOf, nameOf } from "./names.ts";
import { Avatar } from "./pieces.tsx";
import { useView } from "./view.ts";

export function IncomingCalls() {
	const { incoming } = useView();
	return (
		<div class="incoming-stack">
			{incoming.value.map((call) => (
				<IncomingPanel key={call.key} call={call} />
			))}
		</div>
	);
}

function IncomingPanel({ call }: { call: Call }) {
	const { phone, ongoing } = useView();
	const t = words.value;
	const name = nameOf(call.peer, t);
	const detail = detailOf(call.peer, t);
	const busy = ongoing.value.some((other) => other.phase.name === "up" && !other.held);
	const panel = useRef<HTMLElement>(null);
	useEffect(() => {
		const before = document.activeElement;
		// Whoever is typing goes on typing; an accidental Enter must not answer.
		if (!isTyping(before)) panel.current?.focus();
		return () => {
			if (before instanceof HTMLElement && before.isConnected && document.activeElement === document.body) before.focus();
		};
	}, []);
	return (
		<section
			ref={panel}
			class="incoming"
			role="alertdialog"
			tabIndex={-1}
			aria-labelledby={`incoming-${call.key}`}
			data-testid="incoming"
			data-call={call.id ?? ""}
		>
			<div class="portrait ringing">
				<Avatar name={name} kind={call.peer.kind} />
			</div>
			<div class="incoming-who">
				<p class="small muted">{busy ? t.waitingCall : t.incomingCall}</p>
				<h2 id={`incoming-${call.key}`} data-testid="incoming-name">
					{name}
				</h2>
				{detail !== "" && <p class="number muted">{detail}</p>}
				{call.via !== null && (
					<p class="small muted" data-testid="incoming-via">
						{t.sentOnBy(call.via)}
					</p>
				)}
			</div>
			<div class="incoming-buttons">
				<button type="button" class="button stop" data-testid="incoming-decline" onClick={() => phone.hangup(call.key)}>
					<Icon name="hangup" />
					{t.decline}
				</button>
				<button type="button" class="button go" data-testid="incoming-answer" onClick={() => phone.answer(call.key)}>
					<Icon name="phone" />
					{busy ? t.answerAndHold : t.answer}
				</button>
			</div>
		</section>
	);
}

export function isTyping(element: Element | null): boolean {
	return element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement;
}
