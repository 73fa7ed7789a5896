/** Files in the chat: what others gave, and what is on its way to them. */
import { useSignal } from "@preact/signals";
import type { TargetedEvent } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { locale, words } from "../i18n/index.ts";
import { Icon } from "../ui/icons.tsx";
import { IconButton } from "../ui/pieces.tsx";
import { useView } from "../ui/view.ts";
import { FileError, type FileFailure, type Upload } from "./files.ts";
import type { ChatFile } from "./messages.ts";
import type { RoomState } from "./state.ts";
import { cleanName, formatBytes } from "./text.ts";

/** The browser has taken the bytes by then. */
const SAVED_MS = 60_000;

/** A file that somebody gave: a picture small, and all of it by a press. Its name is text, whatever it looks like. */
export function FileCard({ file }: { file: ChatFile }) {
	const { phone, room } = useView();
	const t = words.value.room;
	const { files } = phone.room;
	const busy = useSignal(false);
	const failure = useSignal<FileFailure | null>(null);
	const name = cleanName(file.name);
	const size = formatBytes(file.bytes, locale.value);
	const save = async (): Promise<void> => {
		if (busy.value) return;
		busy.value = true;
		failure.value = null;
		try {
			const url = URL.createObjectURL(await files.fetch(file));
			const link = document.createElement("a");
			link.href = url;
			link.download = name;
			link.click();
			setTimeout(() => URL.revokeObjectURL(url), SAVED_MS);
		} catch (error) {
			failure.value = error instanceof FileError ? error.code : "refused";
		}
		busy.value = false;
	};
	return (
		<div class="file" data-testid="file" data-type={file.type}>
			<button type="button" class="file-card" aria-busy={busy.value} data-testid="file-save" onClick={() => void save()}>
				<span class="sr">{t.files.save} </span>
				{files.hasPreview(file) && <Preview file={file} />}
				<span class="file-line">
					<Icon name="file" size={18} />
					<bdi class="ellipsis" data-testid="file-name">
						{name}
					</bdi>
					<span class="small muted">{size}</span>
					<Icon name="download" size={18} />
				</span>
			</button>
			<p class="problem small" role="status" data-testid="file-failure" data-code={failure.value ?? ""}>
				{failure.value !== null && inWords(failure.value, room.value)}
			</p>
		</div>
	);
}

/** A picture as pixels of our own, so that nothing in the file is more than a picture. */
function Preview({ file }: { file: ChatFile }) {
	const { phone } = useView();
	const canvas = useRef<HTMLCanvasElement>(null);
	const shown = useSignal(false);
	useEffect(() => {
		let gone = false;
		const draw = async (): Promise<void> => {
			const picture = await phone.room.files.preview(file);
			const element = canvas.current;
			if (gone || element === null) return;
			element.width = picture.width;
			element.height = picture.height;
			element.getContext("2d")?.drawImage(picture, 0, 0);
			shown.value = true;
		};
		// Without a preview there is still the name.
		draw().catch(() => {});
		return () => {
			gone = true;
		};
	}, [file.id]);
	return <canvas ref={canvas} class="file-preview" hidden={!shown.value} aria-hidden="true" data-testid="file-preview" data-shown={shown.value} />;
}

/** Files on their way, with how far they are, and why those stay that do not go. */
export function Uploads() {
	const { uploads } = useView();
	if (uploads.value.length === 0) return null;
	return (
		<ul class="uploads" aria-label={words.value.room.files.uploads} data-testid="uploads">
			{uploads.value.map((upload) => (
				<Sent key={upload.id} upload={upload} />
			))}
		</ul>
	);
}

function Sent({ upload }: { upload: Upload }) {
	const { phone, room } = useView();
	const t = words.value.room.files;
	const { id, name, sent, failure } = upload;
	return (
		<li class="upload" data-testid="upload" data-code={failure ?? ""}>
			<div class="upload-what">
				<bdi class="ellipsis small">{name}</bdi>
				{failure === null ? (
					<progress value={sent} max={1} aria-label={t.sending(name)} />
				) : (
					<p class="problem small" role="alert" data-testid="upload-failure">
						{inWords(failure, room.value)}
					</p>
				)}
			</div>
			<IconButton icon="close" label={failure === null ? t.cancel(name) : t.dismiss(name)} testid="upload-drop" onClick={() => phone.room.files.drop(id)} />
		</li>
	);
}

/** The button, with the browser's own choice of files behind it. */
export function Attach({ to }: { to: string | null }) {
	const { phone, room } = useView();
	const t = words.value.room.files;
	const field = useRef<HTMLInputElement>(null);
	const taken = takenBy(room.value);
	if (taken === undefined) return null;
	const chosen = ({ currentTarget }: TargetedEvent<HTMLInputElement>): void => {
		phone.room.files.offer([...(currentTarget.files ?? [])], to);
		// The same file may be chosen again.
		currentTarget.value = "";
	};
	return (
		<>
			<input ref={field} type="file" multiple hidden accept={taken.types.join(",")} data-testid="chat-file" onChange={chosen} />
			<IconButton icon="clip" label={t.attach} testid="chat-attach" onClick={() => field.current?.click()} />
		</>
	);
}

/** What files the room takes, or nothing where it takes none. */
export function takenBy({ place }: RoomState) {
	return place.name === "here" ? place.media.files : undefined;
}

function inWords(failure: FileFailure, state: RoomState): string {
	const t = words.value.room.files;
	const taken = takenBy(state);
	switch (failure) {
		case "too_large":
			return t.tooLarge(formatBytes(taken?.bytes ?? 0, locale.value));
		case "type":
			return t.wrongType((taken?.types ?? []).map((type) => type.replace(/^.*\//, "").toUpperCase().replace("PLAIN", "TXT")).join(", "));
		default:
			return t.failures[failure];
	}
}
