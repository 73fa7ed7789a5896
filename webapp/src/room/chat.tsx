/** What is written in the room: to all, or to one alone. Everything of others' is text, and nothing but text. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { locale, words } from "../i18n/index.ts";
import { Icon } from "../ui/icons.tsx";
import { formatWhen } from "../ui/time.ts";
import { useView } from "../ui/view.ts";
import { Attach, FileCard, Uploads, takenBy } from "./file.tsx";
import type { ChatMessage, Person } from "./messages.ts";
import type { RoomScreen } from "./screen.ts";
import { type RoomState, nameOf, present, stayOf } from "./state.ts";
import { TEXT_CHARS_MAX } from "./text.ts";

/** Who has scrolled up further than this reads what was before, and is left there. */
const NEAR_PX = 60;

export function Chat() {
	const { phone, room, roomScreen } = useView();
	const t = words.value.room;
	const list = useRef<HTMLDivElement>(null);
	const near = useRef(true);
	const dragging = useSignal(false);
	const { chat } = room.value;
	const last = chat.at(-1)?.n;
	useEffect(() => {
		phone.room.read();
		const element = list.current;
		if (element !== null && near.current) element.scrollTop = element.scrollHeight;
	}, [last]);
	/** Files alone: a word that is dragged goes into the field. */
	const carries = ({ dataTransfer }: DragEvent): boolean => takenBy(room.value) !== undefined && dataTransfer?.types.includes("Files") === true;
	return (
		<div
			class="chat-panel"
			data-testid="chat-drop"
			data-dragging={dragging.value}
			onDragOver={(event) => {
				if (!carries(event)) return;
				event.preventDefault();
				dragging.value = true;
			}}
			onDragLeave={({ currentTarget, relatedTarget }) => {
				if (!(relatedTarget instanceof Node) || !currentTarget.contains(relatedTarget)) dragging.value = false;
			}}
			onDrop={(event) => {
				dragging.value = false;
				if (!carries(event)) return;
				event.preventDefault();
				phone.room.files.offer([...(event.dataTransfer?.files ?? [])], addressee(room.value, roomScreen));
			}}
		>
			<div
				ref={list}
				class="scroll chat"
				role="log"
				aria-label={t.chat}
				tabIndex={0}
				data-testid="chat"
				onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => (near.current = scrollHeight - scrollTop - clientHeight < NEAR_PX)}
			>
				{chat.length === 0 && <p class="empty">{t.noMessages}</p>}
				{chat.map((message) => (
					<Message key={message.n} message={message} state={room.value} />
				))}
			</div>
			<Composer />
			{dragging.value && (
				<p class="drop-here" aria-hidden="true">
					{t.files.dropHere}
				</p>
			)}
		</div>
	);
}

/** Those who can read. */
function readers(state: RoomState): readonly Person[] {
	const own = stayOf(state)?.participant;
	return present(state).filter(({ participant, kind }) => participant !== own && kind === "browser");
}

/** To whom alone it goes; null: to all. */
function addressee(state: RoomState, { writeTo }: RoomScreen): string | null {
	return readers(state).some(({ participant }) => participant === writeTo.value) ? writeTo.value : null;
}

function Message({ message, state }: { message: ChatMessage; state: RoomState }) {
	const t = words.value;
	const own = stayOf(state)?.participant;
	const mine = message.from === own;
	const alone = message.to === undefined ? "" : message.to === own ? t.room.privatelyToYou : t.room.privately(nameOf(state, message.to));
	const name = message.name === "" ? nameOf(state, message.from) : message.name;
	return (
		<article class={`message ${mine ? "mine" : ""} ${alone === "" ? "" : "alone"}`} data-testid="message" data-from={message.from} data-to={message.to ?? ""}>
			<header>
				<bdi class="message-name" data-testid="message-name">
					{mine ? t.you : name}
				</bdi>
				{alone !== "" && <bdi class="message-alone">{alone}</bdi>}
				<time dateTime={new Date(message.at_ms).toISOString()}>{formatWhen(message.at_ms, Date.now(), locale.value, t.yesterday)}</time>
			</header>
			{message.text !== "" && (
				<p dir="auto" data-testid="message-text">
					{message.text}
				</p>
			)}
			{message.file !== undefined && <FileCard file={message.file} />}
		</article>
	);
}

function Composer() {
	const { phone, room, roomScreen } = useView();
	const t = words.value.room;
	const text = useSignal("");
	const field = useRef<HTMLTextAreaElement>(null);
	const others = readers(room.value);
	const to = addressee(room.value, roomScreen);
	useEffect(() => field.current?.focus(), []);
	const send = (): void => {
		const written = text.value.trim();
		if (written === "") return;
		phone.room.act({ act: "say", text: written, ...(to === null ? {} : { to }) });
		text.value = "";
		field.current?.focus();
	};
	return (
		<form
			class="composer"
			data-testid="composer"
			onSubmit={(event) => {
				event.preventDefault();
				send();
			}}
		>
			<label class="inline-field small">
				<span>{t.messageTo}</span>
				<select
					value={to ?? ""}
					data-testid="chat-to"
					onChange={(event) => (roomScreen.writeTo.value = event.currentTarget.value === "" ? null : event.currentTarget.value)}
				>
					<option value="">{t.toAll}</option>
					{others.map(({ participant }) => (
						<option key={participant} value={participant}>
							{nameOf(room.value, participant)}
						</option>
					))}
				</select>
			</label>
			<Uploads />
			<div class="composer-line">
				<Attach to={to} />
				<textarea
					ref={field}
					rows={2}
					dir="auto"
					value={text.value}
					maxLength={TEXT_CHARS_MAX}
					placeholder={t.message}
					aria-label={t.message}
					data-testid="chat-input"
					onInput={(event) => (text.value = event.currentTarget.value)}
					onPaste={(event) => {
						const files = [...(event.clipboardData?.files ?? [])];
						if (files.length === 0 || takenBy(room.value) === undefined) return;
						event.preventDefault();
						phone.room.files.offer(files, to);
					}}
					onKeyDown={(event) => {
						if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
						event.preventDefault();
						send();
					}}
				/>
				<button type="submit" class="icon-button go" aria-label={t.send} title={t.send} disabled={text.value.trim() === ""} data-testid="chat-send">
					<Icon name="send" />
				</button>
			</div>
		</form>
	);
}
