/** What others typed, made fit to be shown: as text, on its own line of reading, of bounded length. */

/** Controls but for the line feed and tab, and marks that turn the direction of what stands beside them. */
const HOSTILE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const NAME_CHARS_MAX = 64;
/** As long as the server takes them. */
export const TEXT_CHARS_MAX = 2_000;
const SIGN_CHARS_MAX = 16;

export function cleanName(name: string): string {
	const clean = name.replace(HOSTILE, "").replace(/\s+/g, " ").trim();
	return [...clean].slice(0, NAME_CHARS_MAX).join("");
}

export function cleanText(text: string): string {
	return text.replace(HOSTILE, "").slice(0, TEXT_CHARS_MAX);
}

/** 1 kB, 12 kB, 3.4 MB: as people read them. */
export function formatBytes(bytes: number, locale: string): string {
	const [unit, value] = bytes < 1 << 20 ? (["kilobyte", Math.ceil(bytes / 1024)] as const) : (["megabyte", bytes / (1 << 20)] as const);
	return new Intl.NumberFormat(locale, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

/** A reaction: a sign, not a speech. */
export function cleanSign(sign: string): string {
	return sign.replace(HOSTILE, "").slice(0, SIGN_CHARS_MAX);
}
