/** Who is there, and the built-in parties. */
import { useSignal } from "@preact/signals";
import { SERVICES, partyOf, search } from "../core/dial.ts";
import type { Presence } from "../core/schema.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { Avatar } from "./pieces.tsx";
import { useView } from "./view.ts";

/** Rows at once; nobody scrolls through more, and each change of presence draws them. */
const ROWS_MAX = 200;

export function PeoplePanel() {
	const { people } = useView();
	const typed = useSignal("");
	const t = words.value;
	const found = search(typed.value, people.value);
	const shown = found.slice(0, ROWS_MAX);
	const here = shown.filter((person) => person.state !== "offline");
	const gone = shown.filter((person) => person.state === "offline");
	return (
		<section class="panel" aria-label={t.people}>
			<label class="search">
				<Icon name="search" size={18} />
				<input
					type="search"
					value={typed.value}
					onInput={(event) => (typed.value = event.currentTarget.value)}
					placeholder={t.search}
					aria-label={t.search}
					data-testid="search"
				/>
			</label>
			<div class="scroll">
				<ul class="rows" data-testid="people">
					{here.map((person) => (
						<PersonRow key={person.user} person={person} />
					))}
				</ul>
				{found.length === 0 && (
					<div class="empty" data-testid="people-empty">
						<p>{typed.value.trim() === "" ? t.nobodyHere : t.nobodyFound}</p>
						{typed.value.trim() === "" && <p class="small muted">{t.nobodyHereHint}</p>}
					</div>
				)}
				{gone.length > 0 && (
					<>
						<h2 class="caption">{t.offlinePeople}</h2>
						<ul class="rows">
							{gone.map((person) => (
								<PersonRow key={person.user} person={person} />
							))}
						</ul>
					</>
				)}
				{found.length > ROWS_MAX && <p class="caption">{t.morePeople(found.length - ROWS_MAX)}</p>}
				<h2 class="caption">{t.testYourSound}</h2>
				<ul class="rows">
					{SERVICES.map(({ id }) => (
						<ServiceRow key={id} id={id} />
					))}
				</ul>
			</div>
		</section>
	);
}

function PersonRow({ person }: { person: Presence }) {
	const { phone, ready } = useView();
	const t = words.value;
	const { user, name, number, state } = person;
	const party = partyOf(person);
	return (
		<li class="row person" data-testid="person" data-user={user} data-state={state}>
			<span class="with-dot">
				<Avatar name={name} kind={party.kind} size="small" />
				<span class={`dot ${state}`} />
			</span>
			<span class="row-text">
				<span class="row-title">{name}</span>
				<span class="row-sub">
					{t.presence[state]}
					{number !== undefined && <span class="number"> · {number}</span>}
				</span>
			</span>
			<button
				type="button"
				class="icon-button dial"
				disabled={state === "offline" || !ready.value}
				aria-label={t.callPerson(name)}
				title={t.callPerson(name)}
				data-testid="person-call"
				onClick={() => void phone.dial(user, party)}
			>
				<Icon name="phone" />
			</button>
		</li>
	);
}

function ServiceRow({ id }: { id: string }) {
	const { phone, ready } = useView();
	const t = words.value;
	const name = t.services[id] ?? id;
	return (
		<li class="row">
			<Avatar name={id} kind="service" size="small" />
			<span class="row-text">
				<span class="row-title">{name}</span>
				<span class="row-sub">{t.serviceHints[id]}</span>
			</span>
			<button
				type="button"
				class="icon-button dial"
				disabled={!ready.value}
				aria-label={t.callPerson(name)}
				title={t.callPerson(name)}
				data-testid={`service-${id}`}
				onClick={() => void phone.dial(id)}
			>
				<Icon name="phone" />
			</button>
		</li>
	);
}
