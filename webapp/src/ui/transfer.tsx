/** Giving a call away: to whom, at once or after a word with them. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Call } from "../core/call/state.ts";
import { search } from "../core/dial.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { Avatar } from "./pieces.tsx";
import { useView } from "./view.ts";

const SUGGESTIONS_MAX = 4;

export function TransferPanel({ call }: { call: Call }) {
	const { phone, panel, people, ready, services } = useView();
	const t = words.value;
	const [typed, setTyped] = useState("");
	const field = useRef<HTMLInputElement>(null);
	useEffect(() => field.current?.focus({ preventScroll: true }), []);
	const there = search(typed, people.value).filter((person) => person.state !== "offline" && person.user !== call.peer.id);
	const empty = typed.trim() === "" || !ready.value;
	const transfer = (to: string): void => {
		panel.value = "none";
		phone.transfer(call.key, to);
	};
	const park = (): void => {
		panel.value = "none";
		phone.park(call.key);
	};
	const consult = (): void => {
		panel.value = "none";
		void phone.dial(typed);
	};
	return (
		<form
			class="call-panel"
			data-testid="transfer"
			onSubmit={(event) => {
				event.preventDefault();
				if (!empty) transfer(typed);
			}}
			onKeyDown={(event) => {
				if (event.key === "Escape") panel.value = "none";
			}}
		>
			<div class="dial-field">
				<input
					ref={field}
					type="text"
					inputMode="tel"
					enterkeyhint="go"
					autocomplete="off"
					autocapitalize="off"
					spellcheck={false}
					maxLength={64}
					value={typed}
					placeholder={t.dialPlaceholder}
					aria-label={t.transferTo}
					data-testid="transfer-input"
					onInput={(event) => setTyped(event.currentTarget.value)}
				/>
			</div>
			<div class="suggestions" aria-live="polite">
				{there.slice(0, SUGGESTIONS_MAX).map((person) => (
					<button key={person.user} type="button" class="suggestion" data-user={person.user} onClick={() => setTyped(person.user)}>
						<Avatar name={person.name} kind="browser" size="small" />
						<span class="ellipsis">{person.name}</span>
					</button>
				))}
			</div>
			<div class="panel-buttons">
				<button type="submit" class="button go" disabled={empty} data-testid="transfer-now">
					<Icon name="transfer" size={18} />
					{t.transferNow}
				</button>
				<button type="button" class="button" disabled={empty} title={t.askFirstHint} data-testid="transfer-ask" onClick={consult}>
					<Icon name="phone" size={18} />
					{t.askFirst}
				</button>
				{services.value.park !== undefined && call.peer.kind !== "service" && (
					<button type="button" class="button" title={t.parkHint} data-testid="call-park" disabled={!ready.value} onClick={park}>
						<Icon name="pause" size={18} />
						{t.park}
					</button>
				)}
			</div>
		</form>
	);
}

/** While nobody has answered. */
export function TakeBack({ call }: { call: Call }) {
	const { phone } = useView();
	return (
		<div class="panel-buttons">
			<button type="button" class="button" data-testid="transfer-cancel" onClick={() => phone.takeBack(call.key)}>
				<Icon name="back" size={18} />
				{words.value.takeBack}
			</button>
		</div>
	);
}
