/** Where calls go that one does not take. The server keeps it and obeys it, also while no page is open. */
import type { Rules } from "../core/schema.ts";
import { normalize } from "../core/dial.ts";
import { words } from "../i18n/index.ts";
import { useView } from "./view.ts";

/** As the server allows. */
const AFTER_S_MIN = 3;
const AFTER_S_MAX = 120;

export function Forwarding() {
	const { phone, rules, ready } = useView();
	const t = words.value;
	return (
		<fieldset disabled={!ready.value}>
			<legend>{t.forwarding}</legend>
			<Target label={t.forwardAlways} rule="always" />
			<Target label={t.forwardBusy} rule="busy" />
			<Target label={t.forwardNoAnswer} rule="no_answer" />
			<label class="field">
				<span>{t.forwardAfter}</span>
				<input
					type="number"
					min={AFTER_S_MIN}
					max={AFTER_S_MAX}
					value={rules.value.after_s}
					data-testid="forward-after"
					onChange={({ currentTarget: field }) => {
						if (field.checkValidity() && field.value !== "") void phone.setRules({ after_s: Number(field.value) });
						else field.value = String(rules.value.after_s);
					}}
				/>
			</label>
		</fieldset>
	);
}

type Forward = Exclude<keyof Rules, "undisturbed" | "after_s">;

function Target({ label, rule }: { label: string; rule: Forward }) {
	const { phone, rules } = useView();
	const t = words.value;
	return (
		<label class="field">
			<span>{label}</span>
			<input
				type="text"
				inputMode="tel"
				autocomplete="off"
				autocapitalize="off"
				spellcheck={false}
				maxLength={64}
				value={rules.value[rule] ?? ""}
				placeholder={t.forwardNowhere}
				data-testid={`forward-${rule}`}
				onChange={(event) => void phone.setRules({ [rule]: normalize(event.currentTarget.value) })}
			/>
		</label>
	);
}
