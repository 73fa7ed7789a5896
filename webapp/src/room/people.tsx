/** Everyone in the room, and what hosts can do. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { words } from "../i18n/index.ts";
import { Icon } from "../ui/icons.tsx";
import { Avatar, IconButton } from "../ui/pieces.tsx";
import { useView } from "../ui/view.ts";
import type { Person, Role } from "./messages.ts";
import { isHost, nameOf, present, stayOf, waiting } from "./state.ts";
import { KindIcon, isPoor, isSpeaking } from "./tile.tsx";

/** Rows at once: beyond it nobody scrolls, and each change draws them. */
const ROWS_MAX = 200;
/** As signaling takes them, dB. */
const LEVELS = { min: -20, max: 10 };
/** How long a second press counts. */
const SURE_MS = 3_000;
const NUMBER_CHARS_MAX = 32;
const ROLES: readonly Role[] = ["host", "speaker", "listener"];

export function PeopleList() {
	const { room } = useView();
	const t = words.value.room;
	const people = present(room.value);
	const number = room.value.roster?.number;
	return (
		<div class="scroll">
			<WaitingList />
			<ul class="rows" data-testid="roster" aria-label={t.people}>
				{people.slice(0, ROWS_MAX).map((person) => (
					<PersonRow key={person.participant} person={person} />
				))}
			</ul>
			{people.length > ROWS_MAX && <p class="caption">{t.more(people.length - ROWS_MAX)}</p>}
			{people.length === 1 && <p class="empty">{t.nobodyElse}</p>}
			<p class="room-note small muted">{t.invite}</p>
			<div class="room-invite">
				<CopyLink />
				{number !== undefined && (
					<p class="small number" data-testid="room-number">
						{t.dialIn(number)}
					</p>
				)}
			</div>
			{isHost(room.value) && <HostTools />}
		</div>
	);
}

/** Puts the room's link where it can be pasted from. */
export function CopyLink() {
	const t = words.value.room;
	const copied = useSignal(false);
	useEffect(() => {
		if (!copied.value) return;
		const timer = setTimeout(() => (copied.value = false), SURE_MS);
		return () => clearTimeout(timer);
	}, [copied.value]);
	return (
		<button type="button" class="button small" data-testid="copy-link" onClick={() => void navigator.clipboard.writeText(location.href).then(() => (copied.value = true))}>
			<Icon name="link" size={18} />
			<span role="status">{copied.value ? t.linkCopied : t.copyLink}</span>
		</button>
	);
}

function WaitingList() {
	const { phone, room } = useView();
	const t = words.value.room;
	const people = waiting(room.value);
	if (people.length === 0 || !isHost(room.value)) return null;
	return (
		<section class="room-waiting" aria-label={t.waitingPeople}>
			<h3 class="caption">{t.wantIn(people.length)}</h3>
			<ul class="rows">
				{people.slice(0, ROWS_MAX).map(({ participant, kind }) => {
					const name = nameOf(room.value, participant);
					return (
						<li key={participant} class="row" data-testid="waiting-person" data-participant={participant}>
							<Avatar name={name} kind={kind === "telephone" ? "phone" : "browser"} size="small" />
							<span class="row-text">
								<bdi class="row-title">{name}</bdi>
							</span>
							<button
								type="button"
								class="button small primary"
								aria-label={t.admitPerson(name)}
								data-testid="admit"
								onClick={() => phone.room.act({ act: "admit", participant })}
							>
								{t.admit}
							</button>
							<IconButton icon="close" label={t.refusePerson(name)} testid="refuse" onClick={() => phone.room.act({ act: "remove", participant })} />
						</li>
					);
				})}
			</ul>
		</section>
	);
}

function PersonRow({ person }: { person: Person }) {
	const { room, roomSpeaking, roomScreen } = useView();
	const t = words.value.room;
	const { participant } = person;
	const name = nameOf(room.value, participant);
	const own = stayOf(room.value)?.participant === participant;
	const open = roomScreen.chosen.value === participant;
	const details = [
		person.role === "speaker" ? "" : t.roles[person.role],
		person.presence === "away" ? t.away : "",
		person.held ? t.onHold : "",
		isPoor(person) ? t.poorQuality : "",
	].filter((part) => part !== "");
	return (
		<li
			class="room-person"
			data-testid="roster-person"
			data-participant={participant}
			data-kind={person.kind}
			data-role={person.role}
			data-presence={person.presence}
			data-muted={person.muted}
			data-hand={person.hand !== undefined}
			data-speaking={isSpeaking(person, roomSpeaking.value)}
			data-held={person.held}
		>
			<div class="row">
				<Avatar name={name} kind={person.kind === "telephone" ? "phone" : "browser"} size="small" />
				<span class="row-text">
					<span class="row-title">
						<KindIcon kind={person.kind} /> <bdi data-testid="roster-name">{own ? t.youName(name) : name}</bdi>
					</span>
					<span class="row-sub">{details.join(" · ")}</span>
				</span>
				{person.hand !== undefined && (
					<span class="row-mark" title={t.handUp(person.hand)}>
						<span class="number" aria-hidden="true">
							<Icon name="hand" size={17} />
							{person.hand}
						</span>
						<span class="sr">{t.handUp(person.hand)}</span>
					</span>
				)}
				{person.muted && (
					<span class="row-mark" title={t.muted}>
						<Icon name="micOff" size={17} />
						<span class="sr">{t.muted}</span>
					</span>
				)}
				{!own && (
					<IconButton
						icon="more"
						label={t.moreFor(name)}
						expanded={open}
						testid="person-more"
						onClick={() => (roomScreen.chosen.value = open ? null : participant)}
					/>
				)}
			</div>
			{open && !own && <Details person={person} name={name} />}
		</li>
	);
}

function Details({ person, name }: { person: Person; name: string }) {
	const { phone, room, roomScreen } = useView();
	const t = words.value.room;
	const { participant } = person;
	const host = isHost(room.value);
	const level = useSignal(person.level_db);
	return (
		<div class="person-details" data-testid="person-details">
			<button
				type="button"
				class="button small"
				data-testid="person-pin"
				onClick={() => (roomScreen.pinned.value = roomScreen.pinned.value === participant ? null : participant)}
			>
				{roomScreen.pinned.value === participant ? t.unpinPerson(name) : t.pinPerson(name)}
			</button>
			{person.kind === "browser" && (
				<button
					type="button"
					class="button small"
					data-testid="person-write"
					onClick={() => {
						roomScreen.writeTo.value = participant;
						roomScreen.panel.value = "chat";
					}}
				>
					{t.writeTo(name)}
				</button>
			)}
			{host && (
				<>
					{!person.muted && (
						<button type="button" class="button small" data-testid="person-mute" onClick={() => phone.room.act({ act: "mute", participant, muted: true })}>
							{t.mutePerson(name)}
						</button>
					)}
					{person.hand !== undefined && (
						<button type="button" class="button small" data-testid="person-hand" onClick={() => phone.room.act({ act: "hand", participant, raised: false })}>
							{t.lowerHandOf(name)}
						</button>
					)}
					<label class="inline-field">
						<span>{t.role}</span>
						<select
							value={person.role}
							aria-label={t.roleOf(name)}
							data-testid="person-role"
							onChange={(event) => phone.room.act({ act: "role", participant, role: event.currentTarget.value as Role })}
						>
							{(ROLES.includes(person.role) ? ROLES : [person.role, ...ROLES]).map((role) => (
								<option key={role} value={role}>
									{t.roles[role]}
								</option>
							))}
						</select>
					</label>
					<label class="inline-field">
						<span>{t.level}</span>
						<input
							type="range"
							min={LEVELS.min}
							max={LEVELS.max}
							step={1}
							value={level.value}
							aria-label={t.levelOf(name)}
							aria-valuetext={t.decibels(level.value)}
							data-testid="person-level"
							onInput={(event) => (level.value = event.currentTarget.valueAsNumber)}
							onChange={(event) => phone.room.act({ act: "level", participant, db: event.currentTarget.valueAsNumber })}
						/>
						<output class="number small">{t.decibels(level.value)}</output>
					</label>
					<Twice label={t.removePerson(name)} testid="person-remove" onSure={() => phone.room.act({ act: "remove", participant })} />
					<Twice label={t.banPerson(name)} testid="person-ban" onSure={() => phone.room.act({ act: "ban", participant })} />
				</>
			)}
		</div>
	);
}

/** What cannot be taken back wants a second press. */
function Twice({ label, sure, testid, onSure }: { label: string; sure?: string; testid: string; onSure: () => void }) {
	const armed = useSignal(false);
	useEffect(() => {
		if (!armed.value) return;
		const timer = setTimeout(() => (armed.value = false), SURE_MS);
		return () => clearTimeout(timer);
	}, [armed.value]);
	return (
		<button
			type="button"
			class={`button small ${armed.value ? "stop" : ""}`}
			data-testid={testid}
			data-armed={armed.value}
			onClick={() => {
				if (armed.value) onSure();
				armed.value = !armed.value;
			}}
		>
			<span aria-live="polite">{armed.value ? (sure ?? `${label}: ${words.value.room.sure}`) : label}</span>
		</button>
	);
}

function HostTools() {
	const { phone, room } = useView();
	const t = words.value.room;
	const { roster, dials } = room.value;
	const number = useSignal("");
	return (
		<section class="host-tools" aria-label={t.hostTools} data-testid="host-tools">
			<h3 class="caption">{t.hostTools}</h3>
			<div class="host-buttons">
				<button type="button" class="button small" data-testid="mute-all" onClick={() => phone.room.act({ act: "mute_all" })}>
					<Icon name="micOff" size={18} />
					{t.muteAll}
				</button>
				<Twice label={t.endForAll} sure={t.endSure} testid="end-room" onSure={() => phone.room.act({ act: "end" })} />
			</div>
			<label class="check">
				<input
					type="checkbox"
					checked={roster?.locked === true}
					data-testid="lock-room"
					onChange={(event) => phone.room.act({ act: "lock", locked: event.currentTarget.checked })}
				/>
				<span>
					{t.lock} <span class="small muted">· {t.lockHint}</span>
				</span>
			</label>
			<label class="check">
				<input
					type="checkbox"
					checked={roster?.lobby === true}
					data-testid="lobby-room"
					onChange={(event) => phone.room.act({ act: "lobby", lobby: event.currentTarget.checked })}
				/>
				<span>
					{t.lobby} <span class="small muted">· {t.lobbyHint}</span>
				</span>
			</label>
			<form
				class="dial-out"
				data-testid="dial-out"
				onSubmit={(event) => {
					event.preventDefault();
					if (number.value.trim() === "") return;
					phone.room.act({ act: "dial", number: number.value.trim() });
					number.value = "";
				}}
			>
				<label class="field">
					<span>{t.dialOut}</span>
					<input
						value={number.value}
						inputMode="tel"
						autocomplete="off"
						maxLength={NUMBER_CHARS_MAX}
						placeholder={t.dialNumber}
						data-testid="dial-out-number"
						onInput={(event) => (number.value = event.currentTarget.value)}
					/>
				</label>
				<button type="submit" class="button small go" disabled={number.value.trim() === ""} data-testid="dial-out-call">
					<Icon name="phone" size={18} />
					{t.dial}
				</button>
			</form>
			<ul class="dials" aria-live="polite">
				{dials.map((dial) => (
					<li key={dial.number} class="small" data-testid="dial" data-number={dial.number} data-state={dial.state} data-cause={dial.cause ?? ""}>
						<bdi class="number">{dial.number}</bdi>: {dialInWords(dial.state, dial.cause)}
					</li>
				))}
			</ul>
		</section>
	);
}

function dialInWords(state: keyof typeof words.value.room.dials, cause: string | null): string {
	const t = words.value;
	const causes: Record<string, string> = t.causes;
	if (state === "ended" && cause !== null && cause !== "normal") return causes[cause] ?? t.room.dials.ended;
	return t.room.dials[state];
}
