/** Small parts that several screens use. */
import { useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Levels } from "../core/media/api.ts";
import type { PartyKind } from "../core/schema.ts";
import { Icon, type IconName } from "./icons.tsx";
import { formatDuration } from "./time.ts";
import { useView } from "./view.ts";

const HUES = [12, 45, 85, 140, 175, 205, 250, 285, 325];

/** Initials on a colour of their own; telephones and services get a symbol. */
export function Avatar({ name, kind, size }: { name: string; kind: PartyKind; size?: "small" | "large" }) {
	const hue = HUES[[...name].reduce((sum, char) => (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973, 7) % HUES.length] ?? 0;
	const symbol: IconName | null = kind === "service" ? (name.toLowerCase() === "echo" ? "echo" : "wave") : kind === "phone" && !/\p{L}/u.test(name) ? "phone" : null;
	return (
		<span class={`avatar ${size ?? ""}`} style={{ "--hue": String(hue) }} aria-hidden="true">
			{symbol === null ? initials(name) : <Icon name={symbol} size={size === "large" ? 44 : 20} />}
		</span>
	);
}

function initials(name: string): string {
	const parts = name.trim().split(/[\s._-]+/).filter((part) => part !== "");
	const letters = parts.length > 1 ? [parts[0], parts.at(-1)] : [parts[0]];
	return letters.map((part) => [...(part ?? "")][0] ?? "").join("").toUpperCase();
}

/** Quiet rooms are near -60 dB, loud speech near -10. */
const LEVEL_DB_MIN = -60;
const LEVEL_DB_MAX = -8;

function share(level: number): number {
	return Math.min(1, Math.max(0, (level - LEVEL_DB_MIN) / (LEVEL_DB_MAX - LEVEL_DB_MIN)));
}

export type LevelOf = (levels: Levels) => number;

/** Sets `--level` (0 to 1) on an element without rendering ten times a second. */
export function useLevel(of: LevelOf) {
	const { levels } = useView();
	const ref = useRef<HTMLDivElement>(null);
	const latest = useRef(of);
	latest.current = of;
	useSignalEffect(() => {
		const value = share(latest.current(levels.value));
		ref.current?.style.setProperty("--level", value.toFixed(3));
		if (ref.current?.getAttribute("role") === "meter") ref.current.setAttribute("aria-valuenow", String(Math.round(value * 100)));
	});
	return ref;
}

export function Meter({ label, of, testid, off }: { label: string; of: LevelOf; testid: string; off?: boolean }) {
	const ref = useLevel(of);
	return (
		<div
			ref={ref}
			class={`meter ${off === true ? "off" : ""}`}
			role="meter"
			aria-label={label}
			aria-valuemin={0}
			aria-valuemax={100}
			aria-valuenow={0}
			data-testid={testid}
		/>
	);
}

/** Counts up once a second. */
export function Timer({ since, testid }: { since: number; testid?: string }) {
	const [now, setNow] = useState(Date.now());
	useEffect(() => {
		const timer = setInterval(() => setNow(Date.now()), 500);
		return () => clearInterval(timer);
	}, []);
	return (
		<time class="timer" data-testid={testid}>
			{formatDuration(now - since)}
		</time>
	);
}

export function IconButton(props: {
	icon: IconName;
	label: string;
	onClick: () => void;
	testid?: string;
	pressed?: boolean;
	expanded?: boolean;
	disabled?: boolean;
	tone?: "plain" | "go" | "stop";
	badge?: ComponentChildren;
}) {
	return (
		<button
			type="button"
			class={`icon-button ${props.tone ?? "plain"}`}
			aria-label={props.label}
			title={props.label}
			aria-pressed={props.pressed}
			aria-expanded={props.expanded}
			disabled={props.disabled}
			data-testid={props.testid}
			onClick={props.onClick}
		>
			<Icon name={props.icon} />
			{props.badge}
		</button>
	);
}
