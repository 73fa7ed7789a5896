/** The dial field with its pad. */
import { useRef } from "preact/hooks";
import { search } from "../core/dial.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { Keypad } from "./keypad.tsx";
import { Avatar } from "./pieces.tsx";
import { useView } from "./view.ts";

const SUGGESTIONS_MAX = 3;
const HOLD_MS = 500;

export function Dialer() {
	const { phone, dialed, people, ready } = useView();
	const t = words.value;
	const field = useRef<HTMLInputElement>(null);
	const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
	const typed = dialed.value;
	const suggestions = typed.trim() === "" ? [] : search(typed, people.value).filter((it) => it.state !== "offline").slice(0, SUGGESTIONS_MAX);
	const call = (to: string): void => {
		if (to.trim() === "" || !ready.value) return;
		dialed.value = "";
		void phone.dial(to);
	};
	return (
		<form
			class="dialer"
			data-testid="dialer"
			onSubmit={(event) => {
				event.preventDefault();
				call(typed);
			}}
		>
			<div class="dial-field">
				<input
					ref={field}
					id="dial"
					type="text"
					inputMode="tel"
					enterkeyhint="go"
					autocomplete="off"
					autocapitalize="off"
					spellcheck={false}
					maxLength={64}
					value={typed}
					placeholder={t.dialPlaceholder}
					aria-label={t.dialLabel}
					data-testid="dial-input"
					onInput={(event) => (dialed.value = event.currentTarget.value)}
				/>
				{typed !== "" && (
					<button
						type="button"
						class="icon-button"
						aria-label={t.backspace}
						data-testid="dial-backspace"
						onPointerDown={() => (timer.current = setTimeout(() => (dialed.value = ""), HOLD_MS))}
						onPointerUp={() => clearTimeout(timer.current)}
						onPointerLeave={() => clearTimeout(timer.current)}
						onClick={() => (dialed.value = dialed.value.slice(0, -1))}
					>
						<Icon name="back" />
					</button>
				)}
			</div>
			<div class="suggestions" aria-live="polite">
				{suggestions.map((person) => (
					<button key={person.user} type="button" class="suggestion" onClick={() => call(person.user)} disabled={!ready.value}>
						<Avatar name={person.name} kind="browser" size="small" />
						<span class="ellipsis">{person.name}</span>
					</button>
				))}
			</div>
			<Keypad prefix="key" onKey={(key) => (dialed.value += key)} onPlus={() => (dialed.value += "+")} />
			<button type="submit" class="button go wide" disabled={typed.trim() === "" || !ready.value} data-testid="dial-call">
				<Icon name="phone" />
				{t.call}
			</button>
		</form>
	);
}
