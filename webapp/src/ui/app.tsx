/** Which screen is to be seen. */
import { useSignalEffect } from "@preact/signals";
import type { OwnPresence } from "../core/schema.ts";
import type { Missing } from "../core/support.ts";
import { words } from "../i18n/index.ts";
import { Banners } from "./banners.tsx";
import { CallScreen } from "./call.tsx";
import { DeskNotes } from "./desk.tsx";
import { Dialer } from "./dialer.tsx";
import { EndedScreen } from "./ended.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { IncomingCalls } from "./incoming.tsx";
import { PeoplePanel } from "./people.tsx";
import { Avatar, IconButton } from "./pieces.tsx";
import { RecentPanel } from "./recent.tsx";
import { SettingsDialog } from "./settings.tsx";
import { Logo, SignIn } from "./sign-in.tsx";
import { RoomScreen } from "../room/room.tsx";
import { goTo } from "../room/route.ts";
import { type Tab, type View, ViewContext, useView } from "./view.ts";

export function App({ view }: { view: View }) {
	return (
		<ViewContext.Provider value={view}>
			<Screen />
		</ViewContext.Provider>
	);
}

function Screen() {
	const { session, settingsOpen, roomInFront } = useView();
	if (session.value.name !== "in") return <SignIn />;
	return (
		<>
			{roomInFront.value ? <RoomScreen /> : <Shell />}
			<IncomingCalls />
			{settingsOpen.value && <SettingsDialog />}
		</>
	);
}

function Shell() {
	const { tab, ongoing, calls, panel } = useView();
	const call = ongoing.value[0];
	const { ended } = calls.value;
	const front = call?.key ?? null;
	// What was open belonged to another call.
	useSignalEffect(() => {
		if (ongoing.value[0]?.phase.name !== "up") panel.value = "none";
	});
	const stage = call !== undefined ? "call" : ended !== null ? "ended" : "dial";
	return (
		<main class="shell" data-tab={tab.value} data-stage={stage} data-testid="shell">
			<h1 class="sr">{words.value.product}</h1>
			<Banners />
			<div class="side">
				<Me />
				<DeskNotes />
				<Tabs names={["people", "recent"]} place="top" />
				{tab.value === "recent" ? <RecentPanel /> : <PeoplePanel />}
				<button type="button" class="join-room" data-testid="join-room" onClick={() => goTo("")}>
					<Icon name="join" size={18} />
					{words.value.room.joinARoom}
				</button>
			</div>
			<div class="stage">
				{call !== undefined ? <CallScreen key={front} call={call} /> : ended !== null ? <EndedScreen key={ended.key} ended={ended} /> : <Dialer />}
			</div>
			<Tabs names={["people", "keypad", "recent"]} place="bottom" />
		</main>
	);
}

const OWN: readonly OwnPresence[] = ["available", "busy", "away"];

function Me() {
	const { phone, session, own, line, self, settingsOpen } = useView();
	const t = words.value;
	const state = session.value;
	if (state.name !== "in") return null;
	const { user } = state.identity;
	const number = self.value?.number ?? user.number;
	const dot = line.value.name === "ready" ? own.value : "offline";
	return (
		<header class="me" data-testid="me" data-line={line.value.name}>
			<span class="with-dot">
				<Avatar name={user.name} kind="browser" />
				<span class={`dot ${dot}`} />
			</span>
			<div class="row-text">
				<span class="row-title" data-testid="me-name">
					{user.name}
				</span>
				<span class="row-sub">
					{number !== undefined && (
						<>
							<span class="number" title={t.yourNumber(number)} data-testid="me-number">
								{number}
							</span>
							{" · "}
						</>
					)}
					<select
						class="quiet"
						value={own.value}
						disabled={line.value.name !== "ready"}
						aria-label={t.yourState}
						data-testid="me-state"
						onChange={(event) => void phone.setPresence(event.currentTarget.value as OwnPresence)}
					>
						{OWN.map((value) => (
							<option key={value} value={value}>
								{t.own[value]}
							</option>
						))}
					</select>
				</span>
			</div>
			<IconButton icon="settings" label={t.settings} testid="settings" onClick={() => (settingsOpen.value = true)} />
		</header>
	);
}

const TAB_ICONS: Record<Tab, IconName> = { people: "people", keypad: "pad", recent: "clock" };

function Tabs({ names, place }: { names: readonly Tab[]; place: "top" | "bottom" }) {
	const { tab, missed } = useView();
	const t = words.value;
	return (
		<nav class={`tabs ${place}`}>
			{names.map((name) => {
				const current = tab.value === name || (place === "top" && name === "people" && tab.value === "keypad");
				return (
					<button
						key={name}
						type="button"
						class="tab"
						aria-current={current ? "page" : undefined}
						data-testid={place === "top" ? `tab-${name}` : `nav-${name}`}
						onClick={() => (tab.value = name)}
					>
						<Icon name={TAB_ICONS[name]} />
						{t[name]}
						{name === "recent" && missed.value > 0 && (
							<span class="badge" data-testid={place === "top" ? "missed-badge" : "nav-missed-badge"} aria-label={t.nMissed(missed.value)}>
								{missed.value}
							</span>
						)}
					</button>
				);
			})}
		</nav>
	);
}

export function Unsupported({ missing }: { missing: readonly Missing[] }) {
	const t = words.value;
	const insecure = missing.includes("secure_context");
	return (
		<main class="welcome" data-testid="unsupported">
			<div class="welcome-card">
				<Logo />
				<h1>{t.unsupportedTitle}</h1>
				<p>{t.unsupportedLead}</p>
				<ul class="plain">
					{missing.map((feature) => (
						<li key={feature}>{t.missing[feature]}</li>
					))}
				</ul>
				<p class="muted">{insecure ? t.insecureHelp : t.unsupportedHelp}</p>
			</div>
		</main>
	);
}
