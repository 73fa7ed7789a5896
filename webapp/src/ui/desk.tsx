/** What a person should know beside the calls: messages, forwarding, and calls that wait for somebody. */
import type { ParkedCall } from "../core/schema.ts";
import { words } from "../i18n/index.ts";
import { Icon } from "./icons.tsx";
import { nameOf } from "./names.ts";
import { Avatar } from "./pieces.tsx";
import { useView } from "./view.ts";

export function DeskNotes() {
	const { phone, rules, messages, parked, services, ready, settingsOpen } = useView();
	const t = words.value;
	const { voicemail } = services.value;
	const { always } = rules.value;
	if (!messages.value && always === undefined && parked.value.length === 0) return null;
	return (
		<section class="desk" data-testid="desk">
			{messages.value && (
				<p class="desk-note" data-testid="messages">
					<Icon name="mail" size={18} />
					<span class="row-text">{t.newMessages}</span>
					{voicemail !== undefined && (
						<button type="button" class="button small" disabled={!ready.value} data-testid="messages-hear" onClick={() => void phone.dial(voicemail)}>
							{t.hearMessages}
						</button>
					)}
				</p>
			)}
			{always !== undefined && (
				<button type="button" class="desk-note as-button" data-testid="forwarded" onClick={() => (settingsOpen.value = true)}>
					<Icon name="transfer" size={18} />
					<span class="row-text">{t.callsGoTo(always)}</span>
				</button>
			)}
			{parked.value.length > 0 && (
				<>
					<h2 class="caption">{t.parkedCalls}</h2>
					<ul class="rows">
						{parked.value.map((call) => (
							<ParkedRow key={call.slot} call={call} />
						))}
					</ul>
				</>
			)}
		</section>
	);
}

function ParkedRow({ call }: { call: ParkedCall }) {
	const { phone, ready } = useView();
	const t = words.value;
	const name = nameOf(call.who, t);
	return (
		<li class="row" data-testid="parked" data-slot={call.slot}>
			<Avatar name={name} kind={call.who.kind} size="small" />
			<span class="row-text">
				<span class="row-title">{name}</span>
				<span class="row-sub">{t.parkedBy(call.slot, nameOf(call.by, t))}</span>
			</span>
			<button
				type="button"
				class="icon-button dial"
				disabled={!ready.value}
				aria-label={t.takeParked(name)}
				title={t.takeParked(name)}
				data-testid="parked-take"
				onClick={() => void phone.dial(call.slot, call.who)}
			>
				<Icon name="phone" />
			</button>
		</li>
	);
}
