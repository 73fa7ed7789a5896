// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { registeredAnswer } from "../core/testing.ts";
import { de } from "../i18n/de.ts";
import { en } from "../i18n/en.ts";
import { fr } from "../i18n/fr.ts";
import { Unsupported } from "./app.tsx";
import { open, shut, signedIn } from "./testing.tsx";

const CALL = "0123456789abcdef0123456789abcdef";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
	shut();
	vi.useRealTimers();
});

describe("the screen", () => {
	it("asks for a name, then shows it with the number", async () => {
		const { find, type, click, socket } = open();
		expect(find("sign-in-submit")).toHaveProperty("disabled", true);

		await type("sign-in-name", "Anna");
		await click("sign-in-submit");
		await act(() => socket().open());
		await act(() => socket().receive(registeredAnswer(1)));

		expect(find("me-name")?.textContent).toBe("Anna");
		expect(find("me-number")?.textContent).toBe("7001");
	});

	it("says in words why a sign-in failed", async () => {
		const { find, type, click } = open({ guest: () => Promise.reject(new Error("offline")) });

		await type("sign-in-name", "Anna");
		await click("sign-in-submit");

		expect(find("sign-in-hint")?.textContent).toBe(en.signOut.unreachable);
	});

	it("shows who calls, and answers", async () => {
		const { find, click, socket, hear } = await signedIn();

		await hear({ type: "incoming", call: CALL, from: { id: "bert", name: "Bert", number: "7002", kind: "browser" }, seq: 1 });
		expect(find("incoming-name")?.textContent).toBe("Bert");
		expect(document.title).toBe(en.isCalling("Bert"));
		await click("incoming-answer");

		expect(socket().last("answer")).toMatchObject({ call: CALL });
		expect(find("incoming")).toBeNull();
		expect(find("call-state")?.textContent).toBe(en.answering);
	});

	it("says whose call it was that was sent on", async () => {
		const { find, hear } = await signedIn();

		await hear({ type: "incoming", call: CALL, from: { id: "1001", name: "Alice", number: "1001", kind: "phone" }, via: "1002", seq: 1 });

		expect(find("incoming-via")?.textContent).toBe(en.sentOnBy("1002"));
	});

	it("shows how a telephone sounds, and warns when it is not heard", async () => {
		const { find, click, hear } = await talking();
		const from = { mos: 4.31, delay_ms: 80, jitter_ms: 0, lost_percent: 0 };

		await hear({ type: "quality", call: CALL, participant: "p2", from, to: { mos: 3.9 }, seq: 3 });
		await click("quality");
		expect(find("stat-telephone-from")?.textContent).toContain("4.3");
		expect(find("call-silence")?.hasAttribute("hidden")).toBe(true);

		await hear({ type: "quality", call: CALL, participant: "p2", from: { silent: "telephone_stopped" }, to: {}, seq: 4 });
		expect(find("call-silence")?.textContent).toBe(en.silences.telephone_stopped);

		await hear({ type: "quality", call: CALL, participant: "p2", from, to: { mos: 3.9 }, seq: 5 });
		await hear({ type: "ended", call: CALL, cause: "normal", reason: "", seq: 6 });
		expect(find("ended-quality")?.textContent).toBe(en.telephoneWas("4.3", "3.9"));
	});

	it("counts missed calls", async () => {
		const { find, hear } = await signedIn();

		await hear({ type: "incoming", call: CALL, from: { id: "bert", name: "Bert", kind: "browser" }, seq: 1 });
		await hear({ type: "ended", call: CALL, cause: "cancelled", reason: "", seq: 2 });

		expect(find("missed-badge")?.textContent).toBe("1");
		expect(document.title).toContain("(1)");
	});

	it("tells the end of a refused call in words and offers another try", async () => {
		const { find, type, click, socket, hear } = await signedIn();
		await type("dial-input", "7999");
		await click("dial-call");
		const { id } = socket().last("call") ?? {};

		await hear({ type: "refused", id, code: "offline", reason: "" });

		expect(find("ended-cause")?.textContent).toBe(en.refusals.offline);
		await click("ended-redial");
		expect(socket().sent().filter((message) => message["type"] === "call")).toHaveLength(2);
	});

	it("says that the connection is lost, and when it tries again", async () => {
		const { find, socket } = await signedIn();

		await act(() => socket().drop(1006));

		expect(find("banner-line")?.textContent).toContain(en.lineLost);
		expect(find("service-echo")).toHaveProperty("disabled", true);
	});

	it("plays what was said before, in three states", async () => {
		const { find, click, engine } = await talking();
		const state = () => find("replay")?.getAttribute("data-state");
		expect(find("replay-10")).toHaveProperty("disabled", true);
		await act(() => engine.emit("heard", { room: CALL, participant: "p2" }));

		await click("replay-10");
		expect(engine.calls).toContain(`replay ${CALL} 10`);
		await act(() => engine.emit("replay", { room: CALL, state: { name: "asking" } }));
		expect(state()).toBe("asking");
		expect(find("replay-30")).toHaveProperty("disabled", true);
		await act(() => engine.emit("replay", { room: CALL, state: { name: "playing", totalMs: 8_000 } }));
		await act(() => void vi.advanceTimersByTime(2_000));
		expect(state()).toBe("playing");
		expect(find("replay")?.querySelector("[role=progressbar]")?.getAttribute("aria-valuenow")).toBe("25");
		await click("replay-live");
		expect(engine.calls).toContain("stopReplay");
		await act(() => engine.emit("replay", { room: CALL, state: { name: "idle" } }));

		expect(state()).toBe("idle");
		expect(find("replay-10")).toHaveProperty("disabled", false);
	});

	it("says when there is nothing to play again", async () => {
		const { find, engine } = await talking();

		await act(() => engine.emit("replay", { room: CALL, state: { name: "failed", reason: "nothing" } }));

		expect(find("notice")?.textContent).toContain(en.replayFailures.nothing);
	});

	it("gives the call to somebody else, and takes it back", async () => {
		const { find, click, type, socket, hear } = await talking();
		await click("call-transfer");
		expect(find("transfer-now")).toHaveProperty("disabled", true);
		await type("transfer-input", "7003");
		await click("transfer-now");
		expect(socket().last("transfer")).toMatchObject({ call: CALL, to: "7003" });
		expect(find("transfer")).toBeNull();
		const carla = { id: "carla", name: "Carla", number: "7003", kind: "browser" };
		await hear({ type: "transferring", call: CALL, by: "p1", to: carla, seq: 10 });
		expect(find("call-state")?.textContent).toBe(en.transferringTo("Carla"));
		expect(find("call-hold")).toHaveProperty("disabled", true);

		await click("transfer-cancel");
		expect(socket().last("cancel")).toMatchObject({ call: CALL });
		await hear({ type: "transfer_failed", call: CALL, cause: "busy", reason: "", seq: 11 });

		expect(find("transfer-cancel")).toBeNull();
		expect(find("notice")?.textContent).toContain(en.callIsBack(en.causes.busy));
	});

	it("puts a held call and the one in front together", async () => {
		const { find, click, type, socket, hear } = await talking();
		await click("call-transfer");
		await type("transfer-input", "7003");
		await click("transfer-ask");
		const other = "f".repeat(32);
		await hear({ type: "ok", id: socket().last("call")?.["id"], call: other });
		expect(find("waiting-connect")).toBeNull();
		const peers = [{ participant: "p2", namespace: ["room", other, "p2"], name: "Carla", kind: "browser" }];
		const media = { room: other, participant: "p1", namespace: ["room", other, "p1"], token: "t", peers };
		await hear({ type: "up", call: other, media, seq: 10 });

		await click("waiting-connect");
		expect(socket().last("connect")).toMatchObject({ call: CALL, with: other });
		await click("waiting-merge");
		expect(socket().last("merge")).toMatchObject({ call: CALL, with: other });
	});

	it("says when sound goes by TCP, and where it goes", async () => {
		const { find, click, engine } = await talking();
		expect(find("way-tcp")).toBeNull();

		await act(() => engine.enter({ name: "connected", way: "websocket", voice: "stream" }));
		await click("settings");

		expect(find("way-tcp")?.textContent).toContain(en.byTcp);
		expect(find("setting-way")?.textContent).toContain(en.ways.websocket);
	});

	it("names what an old browser lacks", () => {
		render(<Unsupported missing={["webcodecs"]} />, document.body);

		expect(document.querySelector("[data-testid=unsupported]")?.textContent).toContain(en.missing.webcodecs);
	});
});

describe("the keyboard", () => {
	it("needs H twice to hang up", async () => {
		const { press, socket, find } = await talking();

		await press("h");
		expect(socket().last("hangup")).toBeUndefined();
		expect(find("call-hint")?.textContent).toBe(en.hangUpAgain);
		await press("h");

		expect(socket().last("hangup")).toMatchObject({ call: CALL });
	});

	it("forgets the first H after two seconds", async () => {
		const { press, socket } = await talking();

		await press("h");
		await act(() => void vi.advanceTimersByTime(2_000));
		await press("h");

		expect(socket().last("hangup")).toBeUndefined();
	});

	it("mutes with M and sends digits", async () => {
		const { press, socket, find } = await talking();

		await press("m");
		await press("5");

		expect(find("call-mute")?.getAttribute("aria-pressed")).toBe("true");
		expect(socket().last("dtmf")).toMatchObject({ digits: "5" });
	});

	it("hears again with R, longer with Shift, and goes back with R or Esc", async () => {
		const { press, engine } = await talking();
		await press("r");
		expect(engine.calls.filter((call) => call.startsWith("replay"))).toEqual([]);
		await act(() => engine.emit("heard", { room: CALL, participant: "p2" }));
		await press("r");
		await press("R");
		expect(engine.calls.filter((call) => call.startsWith("replay"))).toEqual([`replay ${CALL} 10`, `replay ${CALL} 30`]);

		await act(() => engine.emit("replay", { room: CALL, state: { name: "playing", totalMs: 8_000 } }));
		await press("r");
		await press("Escape");

		expect(engine.calls.filter((call) => call === "stopReplay")).toHaveLength(2);
	});

	it("opens the muted microphone while Space is held", async () => {
		const { press, socket } = await talking();
		await press("m");

		await press(" ");
		expect(socket().last("mute")).toMatchObject({ muted: false });
		await act(() => void document.dispatchEvent(new KeyboardEvent("keyup", { key: " ", bubbles: true })));

		expect(socket().last("mute")).toMatchObject({ muted: true });
	});

	it("opens and closes the transfer with T and Esc", async () => {
		const { press, find } = await talking();

		await press("t");
		expect(document.activeElement).toBe(find("transfer-input"));
		await press("Escape", find("transfer-input"));

		expect(find("transfer")).toBeNull();
		expect(find("call")).not.toBeNull();
	});

	it("leaves typing alone", async () => {
		const { press, socket, find } = await talking();
		(find("search") as HTMLInputElement).focus();

		await press("h", find("search"));
		await press("h", find("search"));
		await press("5", find("search"));

		expect(socket().last("hangup")).toBeUndefined();
		expect(socket().last("dtmf")).toBeUndefined();
	});

	it("never ends a call by Esc", async () => {
		const { press, socket, find } = await talking();

		await press("Escape");

		expect(socket().last("hangup")).toBeUndefined();
		expect(find("call")).not.toBeNull();
	});
});

it("all languages have a word for everything", () => {
	expect(shape(de)).toEqual(shape(en));
	expect(shape(fr)).toEqual(shape(en));
});

function shape(value: unknown): unknown {
	if (typeof value !== "object" || value === null) return typeof value;
	return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]));
}

async function talking() {
	const made = await signedIn();
	await act(async () => made.phone.dial("bert"));
	await made.hear({ type: "ok", id: made.socket().last("call")?.["id"], call: CALL });
	const peer = { participant: "p2", namespace: ["room", CALL, "p2"], name: "Bert", kind: "browser" };
	const media = { room: CALL, participant: "p1", namespace: ["room", CALL, "p1"], token: "t", peers: [peer] };
	await made.hear({ type: "up", call: CALL, media, seq: 1 });
	return made;
}
