/** The first screen: a name, or an access code where a name is not enough. */
import { useEffect, useRef, useState } from "preact/hooks";
import { cleanName } from "../room/text.ts";
import { words } from "../i18n/index.ts";
import { useView } from "./view.ts";

const NAME_CHARS_MAX = 64;

export function SignIn() {
	const { phone, session, room } = useView();
	const t = words.value;
	const state = session.value;
	const reason = state.name === "out" ? state.reason : null;
	const [byCode, setByCode] = useState(reason === "guests_off" || reason === "bad_token");
	const [text, setText] = useState(state.name === "in" ? "" : state.lastName);
	const field = useRef<HTMLInputElement>(null);
	useEffect(() => field.current?.focus(), [byCode]);
	useEffect(() => {
		if (reason === "guests_off" && !byCode) {
			setByCode(true);
			setText("");
		}
	}, [reason]);
	const { place } = room.value;
	const busy = state.name === "signing_in";
	const submit = (event: Event): void => {
		event.preventDefault();
		const value = text.trim();
		if (value === "" || busy) return;
		void phone.voice.wake();
		if (byCode) phone.session.signInWithToken(value);
		else void phone.session.signIn(value);
	};
	return (
		<main class="welcome">
			<form class="welcome-card" onSubmit={submit} data-testid="sign-in">
				<Logo />
				<h1>{t.product}</h1>
				<p class="muted" data-testid="sign-in-lead">
					{place.name === "door" && place.room !== "" ? <bdi>{t.room.invitedTo(cleanName(place.room))}</bdi> : t.tagline}
				</p>
				<label class="field">
					<span>{byCode ? t.accessCode : t.yourName}</span>
					<input
						ref={field}
						value={text}
						onInput={(event) => setText(event.currentTarget.value)}
						maxLength={byCode ? 8192 : NAME_CHARS_MAX}
						placeholder={byCode ? "" : t.namePlaceholder}
						autocomplete={byCode ? "off" : "name"}
						spellcheck={false}
						required
						aria-invalid={reason !== null}
						aria-describedby="sign-in-hint"
						data-testid={byCode ? "sign-in-code" : "sign-in-name"}
					/>
				</label>
				<p id="sign-in-hint" class={reason === null ? "muted small" : "problem small"} role="status" data-testid="sign-in-hint">
					{reason !== null ? t.signOut[reason] : byCode ? " " : t.signInHint}
				</p>
				<button type="submit" class="button primary wide" disabled={busy || text.trim() === ""} data-testid="sign-in-submit">
					{busy ? t.signingIn : t.signIn}
				</button>
				<button
					type="button"
					class="link"
					onClick={() => {
						setByCode(!byCode);
						setText("");
					}}
				>
					{byCode ? t.useName : t.useAccessCode}
				</button>
			</form>
		</main>
	);
}

export function Logo() {
	return (
		<svg class="logo" viewBox="0 0 64 64" aria-hidden="true">
			<rect width="64" height="64" rx="18" fill="var(--accent)" />
			<g fill="none" stroke="var(--on-accent)" stroke-width="5" stroke-linecap="round">
				<path d="M14 32h3M24 24v16M33 16v32M42 24v16M50 32h.1" />
			</g>
		</svg>
	);
}
