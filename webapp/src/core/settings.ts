/** What a person chose, kept in this browser. */
import { Store } from "./store.ts";
import { type Box, Kept, isRecord } from "./storage.ts";

export type Theme = "system" | "light" | "dark";
export type Language = "system" | "en" | "de" | "fr";

export interface Settings {
	/** Empty: the system's default. */
	readonly microphone: string;
	readonly speaker: string;
	readonly echoCancellation: boolean;
	readonly noiseSuppression: boolean;
	readonly autoGainControl: boolean;
	readonly theme: Theme;
	readonly language: Language;
	/** Space opens a muted microphone while it is held down. */
	readonly pushToTalk: boolean;
	/** A, D, M, H and digits work without a field. */
	readonly shortcuts: boolean;
}

export const DEFAULT_SETTINGS: Settings = {
	microphone: "",
	speaker: "",
	echoCancellation: true,
	noiseSuppression: true,
	autoGainControl: true,
	theme: "system",
	language: "system",
	pushToTalk: true,
	shortcuts: true,
};

export class SettingsStore extends Store<Settings> {
	readonly #kept: Kept<Settings>;

	constructor(box: Box | null) {
		const kept = new Kept(box, "settings", checkSettings);
		super(kept.read() ?? DEFAULT_SETTINGS);
		this.#kept = kept;
	}

	change(change: Partial<Settings>): void {
		const settings = { ...this.value, ...change };
		this.#kept.write(settings);
		this.set(settings);
	}

	storageChanged(key: string | null): void {
		if (this.#kept.isKey(key)) this.set(this.#kept.read() ?? DEFAULT_SETTINGS);
	}
}

/** Takes what it knows and has the right type; the rest is as by default. */
function checkSettings(value: unknown): Settings | null {
	if (!isRecord(value)) return null;
	const known = Object.entries(DEFAULT_SETTINGS).map(([name, fallback]) => {
		const found = value[name];
		return [name, typeof found === typeof fallback ? found : fallback];
	});
	const settings = Object.fromEntries(known) as Settings;
	const themes: readonly string[] = ["system", "light", "dark"];
	const languages: readonly string[] = ["system", "en", "de", "fr"];
	return {
		...settings,
		theme: themes.includes(settings.theme) ? settings.theme : "system",
		language: languages.includes(settings.language) ? settings.language : "system",
	};
}
