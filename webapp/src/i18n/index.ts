/** The words on the screen. Languages but English are loaded when they are wanted. */
import { signal } from "@preact/signals";
import type { Language } from "../core/settings.ts";
import { type Messages, en } from "./en.ts";

/** Reading it in a component makes the component follow the language. */
export const words = signal<Messages>(en);
export const locale = signal("en");

const LOADERS: Record<string, () => Promise<Messages>> = {
	en: () => Promise.resolve(en),
	de: () => import("./de.ts").then(({ de }) => de),
	fr: () => import("./fr.ts").then(({ fr }) => fr),
};

export async function useLanguage(language: Language): Promise<void> {
	const wanted = language === "system" ? preferred(navigator.languages) : language;
	try {
		const messages = await (LOADERS[wanted] ?? LOADERS["en"])?.();
		if (messages === undefined) return;
		words.value = messages;
		locale.value = wanted;
		document.documentElement.lang = wanted;
	} catch {
		// The chunk did not come: the words stay as they are.
	}
}

function preferred(languages: readonly string[]): string {
	for (const language of languages) {
		const base = language.split("-")[0]?.toLowerCase() ?? "";
		if (base in LOADERS) return base;
	}
	return "en";
}
