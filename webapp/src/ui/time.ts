/** Times as people read them. */

/** 4:05, or 1:02:03 from an hour on. */
export function formatDuration(ms: number): string {
	const seconds = Math.max(0, Math.floor(ms / 1000));
	const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
	const two = (value: number) => String(value).padStart(2, "0");
	return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** The time of day, and the date where it is not today's. */
export function formatWhen(at: number, now: number, locale: string, yesterday: string): string {
	const [day, today] = [new Date(at), new Date(now)];
	const time = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" }).format(day);
	const age = daysBetween(day, today);
	if (age === 0) return time;
	if (age === 1) return `${yesterday} ${time}`;
	return new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" }).format(day);
}

function daysBetween(a: Date, b: Date): number {
	const midnight = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
	return Math.round((midnight(b) - midnight(a)) / 86_400_000);
}
