/** Files beside words: bringing them to the server, and having them from it (docs/protocol.md, "Files in rooms"). */
import { isRecord } from "../core/storage.ts";
import { Store } from "../core/store.ts";
import type { ChatFile, RoomMedia } from "./messages.ts";
import { isSafePicture } from "./pictures.ts";
import { cleanName } from "./text.ts";

/** More at once nobody means. */
export const FILES_AT_ONCE_MAX = 10;
/** A picture that is larger comes when it is asked for. */
const PREVIEW_BYTES_MAX = 2 << 20;
/** Pictures of the last messages stay at hand. */
const PREVIEWS_MAX = 32;
/** What a preview is at most, pixels of its width. */
const PREVIEW_WIDTH = 480;
/** The server gives up after two minutes. */
const BRING_MS_MAX = 125_000;
const FETCH_MS_MAX = 60_000;

/** Types of which a preview is made. */
const PICTURES: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/** Why a file did not go, or does not come. */
export type FileFailure =
	| "too_large"
	| "type"
	| "empty"
	/** More than `FILES_AT_ONCE_MAX`. */
	| "many"
	/** Too many in a minute. */
	| "rate_limited"
	/** It is there no more. */
	| "gone"
	/** We are not in the room any more. */
	| "outside"
	/** The connection broke. */
	| "lost"
	/** The server does not take it. */
	| "refused";

export class FileError extends Error {
	constructor(readonly code: FileFailure) {
		super(code);
		this.name = "FileError";
	}
}

/** A file on its way to the others, or one that did not get there. */
export interface Upload {
	readonly id: number;
	readonly name: string;
	readonly bytes: number;
	/** 0 to 1. */
	readonly sent: number;
	readonly failure: FileFailure | null;
}

export interface FilesOptions {
	/** Our place, or null outside of a room. */
	readonly media: () => RoomMedia | null;
	/** Gives a file that the server has to all, or to one alone. */
	readonly give: (file: string, to: string | null) => void;
}

interface Waiting {
	readonly upload: Upload;
	readonly file: File;
	readonly to: string | null;
}

export class Files {
	/** Those on their way, and those that failed until somebody has read why. */
	readonly uploads = new Store<readonly Upload[]>([]);
	readonly #options: FilesOptions;
	readonly #previews = new Map<string, Promise<ImageBitmap>>();
	#queue: readonly Waiting[] = [];
	#sending: { readonly id: number; readonly request: XMLHttpRequest | null } | null = null;
	#nextId = 1;

	constructor(options: FilesOptions) {
		this.#options = options;
	}

	/** Gives files to all, or to one alone: one after the other, those that the room takes. */
	offer(files: readonly File[], to: string | null): void {
		files.forEach((file, index) => {
			const failure = index >= FILES_AT_ONCE_MAX ? "many" : this.#fault(file);
			// What is behind the first that is too many need not be said of each.
			if (index > FILES_AT_ONCE_MAX) return;
			const upload: Upload = { id: this.#nextId++, name: cleanName(file.name), bytes: file.size, sent: 0, failure };
			this.uploads.update((uploads) => [...uploads, upload]);
			if (failure === null) this.#queue = [...this.#queue, { upload, file, to }];
		});
		void this.#next();
	}

	/** Does not send it, or has read why it was not. */
	drop(id: number): void {
		this.#queue = this.#queue.filter(({ upload }) => upload.id !== id);
		this.uploads.update((uploads) => uploads.filter((upload) => upload.id !== id));
		if (this.#sending?.id === id) this.#sending.request?.abort();
	}

	/** Another room, or none. */
	clear(): void {
		for (const { id } of this.uploads.value) this.drop(id);
		this.#previews.clear();
	}

	/** Returns a file of the room. Rejects with a {@link FileError}. */
	async fetch({ id, type }: ChatFile): Promise<Blob> {
		const { room, token } = this.#place();
		let response: Response;
		try {
			response = await fetch(`${pathOf(room)}/${encodeURIComponent(id)}`, {
				headers: { authorization: `Bearer ${token}` },
				signal: AbortSignal.timeout(FETCH_MS_MAX),
			});
			if (response.ok) return new Blob([await response.arrayBuffer()], { type });
		} catch {
			throw new FileError("lost");
		}
		throw new FileError(failureOf(response.status));
	}

	/** Whether a file is a picture that is shown without being asked for. */
	hasPreview({ type, bytes }: ChatFile): boolean {
		return PICTURES.has(type) && bytes <= PREVIEW_BYTES_MAX;
	}

	/** Returns a small picture of a file; the same one again as long as it is remembered. */
	preview(file: ChatFile): Promise<ImageBitmap> {
		const known = this.#previews.get(file.id);
		if (known !== undefined) return known;
		const made = this.#makePreview(file);
		this.#previews.set(file.id, made);
		made.catch(() => this.#previews.delete(file.id));
		const [oldest] = this.#previews.keys();
		if (this.#previews.size > PREVIEWS_MAX && oldest !== undefined) this.#previews.delete(oldest);
		return made;
	}

	async #makePreview(file: ChatFile): Promise<ImageBitmap> {
		const blob = await this.fetch(file);
		if (!isSafePicture(new Uint8Array(await blob.arrayBuffer()))) throw new FileError("type");
		const whole = await createImageBitmap(blob).catch(() => Promise.reject(new FileError("type")));
		if (whole.width <= PREVIEW_WIDTH) return whole;
		const small = await createImageBitmap(whole, { resizeWidth: PREVIEW_WIDTH, resizeQuality: "medium" });
		whole.close();
		return small;
	}

	#place(): RoomMedia {
		const media = this.#options.media();
		if (media === null) throw new FileError("outside");
		return media;
	}

	/** What is known to be wrong before anything is sent. */
	#fault(file: File): FileFailure | null {
		const taken = this.#options.media()?.files;
		if (taken === undefined) return "refused";
		if (file.size === 0) return "empty";
		if (file.size > taken.bytes) return "too_large";
		return taken.types.includes(file.type) ? null : "type";
	}

	async #next(): Promise<void> {
		if (this.#sending !== null) return;
		const [first, ...rest] = this.#queue;
		if (first === undefined) return;
		const { upload, file, to } = first;
		this.#queue = rest;
		this.#sending = { id: upload.id, request: null };
		try {
			const id = await this.#bring(upload.id, file);
			if (this.uploads.value.some((other) => other.id === upload.id)) this.#options.give(id, to);
			this.drop(upload.id);
		} catch (error) {
			this.#change(upload.id, { failure: error instanceof FileError ? error.code : "refused" });
		}
		this.#sending = null;
		void this.#next();
	}

	/** Returns the id that the server gives it. */
	#bring(upload: number, file: File): Promise<string> {
		const { room, token } = this.#place();
		return new Promise((resolve, reject) => {
			// fetch() says nothing of how far it is.
			const request = new XMLHttpRequest();
			this.#sending = { id: upload, request };
			request.open("POST", pathOf(room));
			request.timeout = BRING_MS_MAX;
			request.setRequestHeader("authorization", `Bearer ${token}`);
			request.setRequestHeader("content-type", file.type);
			request.setRequestHeader("x-file-name", encodeURIComponent(file.name.replace(/\p{Surrogate}/gu, "\ufffd")));
			request.upload.onprogress = ({ loaded }) => this.#change(upload, { sent: Math.min(1, loaded / file.size) });
			request.onerror = request.ontimeout = request.onabort = () => reject(new FileError("lost"));
			request.onload = () => {
				const id = request.status === 201 ? idOf(request.responseText) : null;
				if (id === null) reject(new FileError(failureOf(request.status)));
				else resolve(id);
			};
			request.send(file);
		});
	}

	#change(id: number, change: Partial<Upload>): void {
		this.uploads.update((uploads) => uploads.map((upload) => (upload.id === id ? { ...upload, ...change } : upload)));
	}
}

function pathOf(room: string): string {
	return `/api/v1/rooms/${encodeURIComponent(room)}/files`;
}

function idOf(text: string): string | null {
	try {
		const answer: unknown = JSON.parse(text);
		const file = isRecord(answer) ? answer["file"] : null;
		return isRecord(file) && typeof file["id"] === "string" ? file["id"] : null;
	} catch {
		return null;
	}
}

function failureOf(status: number): FileFailure {
	switch (status) {
		case 401:
		case 403:
			return "outside";
		case 404:
			return "gone";
		case 408:
			return "lost";
		case 413:
			return "too_large";
		case 415:
			return "type";
		case 429:
			return "rate_limited";
		default:
			return "refused";
	}
}
