/** Twelve keys; arrows move between them, the zero held down is a plus. */
import { useRef, useState } from "preact/hooks";
import { words } from "../i18n/index.ts";

const KEYS = [
	["1", ""],
	["2", "ABC"],
	["3", "DEF"],
	["4", "GHI"],
	["5", "JKL"],
	["6", "MNO"],
	["7", "PQRS"],
	["8", "TUV"],
	["9", "WXYZ"],
	["*", ""],
	["0", "+"],
	["#", ""],
] as const;

const COLUMNS = 3;
const HOLD_MS = 500;

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: COLUMNS };

export function Keypad({ onKey, onPlus, prefix }: { onKey: (key: string) => void; onPlus?: () => void; prefix: string }) {
	const [focused, setFocused] = useState(0);
	const pad = useRef<HTMLDivElement>(null);
	const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
	const held = useRef(false);
	const move = (event: KeyboardEvent): void => {
		const step = STEPS[event.key];
		const next = focused + (step ?? 0);
		if (step === undefined || next < 0 || next >= KEYS.length) return;
		event.preventDefault();
		setFocused(next);
		pad.current?.querySelectorAll<HTMLButtonElement>("button")[next]?.focus();
	};
	const press = (key: string): void => {
		held.current = false;
		clearTimeout(timer.current);
		if (key !== "0" || onPlus === undefined) return;
		timer.current = setTimeout(() => {
			held.current = true;
			onPlus();
		}, HOLD_MS);
	};
	const release = (): void => clearTimeout(timer.current);
	const click = (key: string): void => {
		release();
		if (held.current) held.current = false;
		else onKey(key);
	};
	return (
		<div ref={pad} class="keypad" role="group" aria-label={words.value.padLabel} onKeyDown={move}>
			{KEYS.map(([key, letters], index) => (
				<button
					key={key}
					type="button"
					class="key"
					tabIndex={index === focused ? 0 : -1}
					data-testid={`${prefix}-${NAMES[key] ?? key}`}
					onPointerDown={() => press(key)}
					onPointerLeave={release}
					onPointerCancel={release}
					onContextMenu={(event) => event.preventDefault()}
					onFocus={() => setFocused(index)}
					onClick={() => click(key)}
				>
					<span class="key-digit">{key}</span>
					<span class="key-letters" aria-hidden="true">
						{letters}
					</span>
				</button>
			))}
		</div>
	);
}

const NAMES: Record<string, string> = { "*": "star", "#": "hash" };
