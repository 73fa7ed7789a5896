/** Devices with their tests, looks, keys, notifications. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Language, Settings, Theme } from "../core/settings.ts";
import { words } from "../i18n/index.ts";
import { askForNotifications, notificationState } from "./comforts.ts";
import { DevicePickers } from "./devices.tsx";
import { Forwarding } from "./forwarding.tsx";
import { Icon } from "./icons.tsx";
import { IconButton, Meter } from "./pieces.tsx";
import { wayInWords } from "./quality.tsx";
import { useView } from "./view.ts";

export function SettingsDialog() {
	const { settingsOpen, phone } = useView();
	const t = words.value;
	const dialog = useRef<HTMLDialogElement>(null);
	useEffect(() => dialog.current?.showModal(), []);
	return (
		<dialog
			ref={dialog}
			class="settings"
			aria-label={t.settings}
			data-testid="settings-dialog"
			onClose={() => (settingsOpen.value = false)}
			onClick={(event) => {
				if (event.target === dialog.current) dialog.current?.close();
			}}
		>
			<div class="settings-body">
				<header>
					<h2>{t.settings}</h2>
					<IconButton icon="close" label={t.close} testid="settings-close" onClick={() => dialog.current?.close()} />
				</header>
				<DevicePickers />
				<MicrophoneTest />
				<Processing />
				<Forwarding />
				<Connection />
				<Appearance />
				<Notifications />
				<Keyboard />
				<footer>
					<button
						type="button"
						class="button"
						data-testid="sign-out"
						onClick={() => {
							dialog.current?.close();
							phone.session.signOut();
						}}
					>
						{t.signOutAction}
					</button>
				</footer>
			</div>
		</dialog>
	);
}

function MicrophoneTest() {
	const { phone, microphone } = useView();
	const t = words.value;
	const on = useSignal(false);
	useEffect(() => () => phone.voice.test(false), []);
	const toggle = (): void => {
		on.value = !on.value;
		if (on.value) phone.voice.retryMicrophone();
		phone.voice.test(on.value);
	};
	const state = microphone.value;
	return (
		<div class="stack">
			<button type="button" class="button small" aria-pressed={on.value} data-testid="mic-test" onClick={toggle}>
				<Icon name="mic" size={18} />
				{on.value ? t.stopTest : t.testMicrophone}
			</button>
			{on.value && state.name === "failed" && <p class="problem small">{`${t.devices[state.code]}. ${t.deviceHelp[state.code]}`}</p>}
			{on.value && state.name !== "failed" && (
				<>
					<Meter label={t.levelOfMicrophone} of={(levels) => levels.microphone} testid="meter-test" />
					<p class="small muted">{t.speakNow}</p>
				</>
			)}
		</div>
	);
}

function Processing() {
	const t = words.value;
	return (
		<fieldset>
			<legend>{t.processing}</legend>
			<Check label={t.echoCancellation} setting="echoCancellation" />
			<Check label={t.noiseSuppression} setting="noiseSuppression" />
			<Check label={t.autoGainControl} setting="autoGainControl" />
		</fieldset>
	);
}

type Switch = { [K in keyof Settings]: Settings[K] extends boolean ? K : never }[keyof Settings];

function Check({ label, setting }: { label: string; setting: Switch }) {
	const { phone, settings } = useView();
	return (
		<label class="check">
			<input
				type="checkbox"
				checked={settings.value[setting]}
				data-testid={`setting-${setting}`}
				onChange={(event) => void phone.changeSettings({ [setting]: event.currentTarget.checked })}
			/>
			<span>{label}</span>
		</label>
	);
}

function Connection() {
	const { link } = useView();
	const t = words.value;
	return (
		<fieldset>
			<legend>{t.connection}</legend>
			<p class="small" data-testid="setting-way">
				{wayInWords(link.value, t) ?? t.noConnection}
			</p>
			{link.value.name === "connected" && link.value.way === "websocket" && <p class="small muted">{t.byTcpHint}</p>}
		</fieldset>
	);
}

function Appearance() {
	const { phone, settings } = useView();
	const t = words.value;
	return (
		<fieldset>
			<legend>{t.appearance}</legend>
			<label class="field">
				<span>{t.theme}</span>
				<select
					value={settings.value.theme}
					data-testid="setting-theme"
					onChange={(event) => void phone.changeSettings({ theme: event.currentTarget.value as Theme })}
				>
					{Object.entries(t.themes).map(([value, label]) => (
						<option key={value} value={value}>
							{label}
						</option>
					))}
				</select>
			</label>
			<label class="field">
				<span>{t.language}</span>
				<select
					value={settings.value.language}
					data-testid="setting-language"
					onChange={(event) => void phone.changeSettings({ language: event.currentTarget.value as Language })}
				>
					{Object.entries(t.languages).map(([value, label]) => (
						<option key={value} value={value}>
							{label}
						</option>
					))}
				</select>
			</label>
		</fieldset>
	);
}

function Notifications() {
	const t = words.value;
	const state = useSignal(notificationState());
	if (state.value === "unsupported") return null;
	return (
		<fieldset>
			<legend>{t.notifications}</legend>
			{state.value === "granted" && <p class="small muted">{t.notificationsOn}</p>}
			{state.value === "denied" && <p class="small muted">{t.notificationsBlocked}</p>}
			{state.value === "default" && (
				<button
					type="button"
					class="button small"
					data-testid="allow-notifications"
					onClick={() => void askForNotifications().then((answer) => (state.value = answer))}
				>
					{t.allowNotifications}
				</button>
			)}
		</fieldset>
	);
}

function Keyboard() {
	const t = words.value;
	return (
		<fieldset>
			<legend>{t.keyboard}</legend>
			<Check label={t.shortcutsLabel} setting="shortcuts" />
			<Check label={t.pushToTalk} setting="pushToTalk" />
			<Keys keys={t.shortcuts} />
			<h3 class="caption">{t.room.keys}</h3>
			<Keys keys={t.room.shortcuts} />
		</fieldset>
	);
}

function Keys({ keys }: { keys: readonly (readonly [string, string])[] }) {
	return (
		<dl class="shortcuts">
			{keys.map(([name, what]) => (
				<div key={name}>
					<dt>
						<kbd>{name}</kbd>
					</dt>
					<dd>{what}</dd>
				</div>
			))}
		</dl>
	);
}
