/** What lies on the desk beside the calls: what becomes of them, messages, and calls that are parked. */
import type { Event, ParkedCall, Registered, Rules, Services } from "./schema.ts";
import { Store } from "./store.ts";

export const NO_RULES: Rules = { undisturbed: false, after_s: 20 };

export class Desk {
	readonly rules = new Store<Rules>(NO_RULES);
	/** Whether messages wait in the mailbox. */
	readonly messages = new Store(false);
	readonly parked = new Store<readonly ParkedCall[]>([]);
	/** What can be dialled for more than a call. */
	readonly services = new Store<Services>({});

	replace({ messages, parked, services }: Registered): void {
		this.messages.set(messages);
		this.parked.set(parked);
		this.services.set(services);
	}

	change(event: Extract<Event, { type: "messages" | "parked" | "unparked" }>): void {
		switch (event.type) {
			case "messages":
				return this.messages.set(event.waiting);
			case "parked": {
				const { slot, who, by } = event;
				return this.parked.set([...this.#without(slot), { slot, who, by }].sort((a, b) => a.slot.localeCompare(b.slot)));
			}
			case "unparked":
				return this.parked.set(this.#without(event.slot));
		}
	}

	clear(): void {
		this.rules.set(NO_RULES);
		this.messages.set(false);
		this.parked.set([]);
		this.services.set({});
	}

	#without(slot: string): readonly ParkedCall[] {
		return this.parked.value.filter((call) => call.slot !== slot);
	}
}
