// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryBox, registeredAnswer } from "../core/testing.ts";
import { en } from "../i18n/en.ts";
import { shut, signedIn } from "../ui/testing.tsx";
import type { VideoEngine, VideoEvents } from "../video/api.ts";
import { lacking } from "./lacking.ts";
import type { Joined, Roster } from "./messages.ts";
import { roomOf } from "./route.ts";
import { ROOM, joined, media, message, person, roster } from "./testing.ts";

const HOSTILE = "<img src=x onerror=alert(1)>";
const CALL = "0123456789abcdef0123456789abcdef";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
	shut();
	vi.unstubAllGlobals();
	vi.useRealTimers();
});

describe("the door", () => {
	it("asks for what a room wants, and says in words why it stays shut", async () => {
		const { phone, find, click, type, socket, hear } = await signedIn();
		await act(() => phone.room.open("board"));
		expect((find("door-name") as HTMLInputElement).value).toBe("Anna");

		await click("door-join");
		const { id } = socket().last("join") ?? {};
		expect(socket().last("join")).toMatchObject({ room: "board", name: "Anna" });
		expect(find("door-join")).toHaveProperty("disabled", true);
		await hear({ type: "refused", id, code: "pin_required", reason: "" });

		expect(find("door-failure")?.textContent).toBe(en.refusals.pin_required);
		expect(document.activeElement).toBe(find("door-pin"));
		await type("door-pin", "4711");
		await click("door-join");
		expect(socket().last("join")).toMatchObject({ pin: "4711" });
	});

	it("lets somebody in without a microphone at the second press, muted", async () => {
		const { phone, engine, find, click, socket, hear } = await signedIn();
		engine.fail.openMicrophone = new Error("none");
		await act(() => phone.room.open("board"));

		await click("door-join");
		expect(socket().last("join")).toBeUndefined();
		expect(find("door-join")?.textContent).toBe(en.room.joinSilently);
		await click("door-join");
		await hear({ type: "ok", id: socket().last("join")?.["id"], ...joined() });

		expect(socket().last("room")).toMatchObject({ room: ROOM, do: { act: "mute", participant: "p1", muted: true } });
	});

	it("waits for a host, and goes in when the door opens", async () => {
		const { find, hear } = await entered({ state: "waiting" });
		expect(find("room-waiting")?.textContent).toContain(en.room.waitingTitle);

		await hear({ type: "room_admitted", room: ROOM, key: "k2", role: "speaker", media: media(), roster: joined().roster, chat: [], seq: 1 });

		expect(find("room")).not.toBeNull();
	});

	it("checks the way to the server by a second of echo", async () => {
		const { phone, engine, click, find, socket, hear } = await signedIn();
		await act(() => phone.room.open("board"));
		await click("door-check");
		await hear({ type: "ok", id: socket().last("call")?.["id"], call: CALL });
		const peer = { participant: "p2", namespace: ["room", CALL, "p2"], name: "Echo", kind: "service" };
		let received = 0;
		engine.stats = async () => ({ ...(await Object.getPrototypeOf(engine).stats.call(engine)), roundTripMs: 31, peers: [{ room: CALL, received: (received += 10), lost: 1 }] }) as never;

		await hear({ type: "up", call: CALL, media: { room: CALL, participant: "p1", namespace: ["room", CALL, "p1"], token: "t", peers: [peer] }, seq: 1 });
		expect(engine.calls).toContain(`gain ${CALL} p2 0.00`);
		await act(async () => void (await vi.advanceTimersByTimeAsync(3_000)));
		await hear({ type: "ended", call: CALL, cause: "normal", reason: "", seq: 2 });

		expect(find("door-network")?.getAttribute("data-grade")).toBe("good");
		expect(find("door-network")?.textContent).toContain("31 ms");
		expect(socket().last("hangup")).toMatchObject({ call: CALL });
		expect(engine.rooms.has(CALL)).toBe(false);
		expect(phone.calls.value).toMatchObject({ calls: [], ended: null });
	});

	it("names what this browser lacks", () => {
		expect(lacking(false, {})).toEqual(["lacksUdp", "lacksSpeaker", "lacksSend", "lacksReceive", "lacksScreen"]);
		const all = { WebTransport: 1, VideoEncoder: 1, VideoDecoder: 1, navigator: { mediaDevices: { getDisplayMedia: 1 } } };
		expect(lacking(true, all)).toEqual([]);
	});

	it("is found by the address", () => {
		expect(["#/room/board", "#/room/Caf%C3%A9", "#/room/", "#/room", "#/room/100%", "", "#token=x"].map(roomOf)).toEqual(["board", "Café", "", "", "100%", null, null]);
	});
});

describe("the room", () => {
	it("hears the seats, and those it is told of where there are none", async () => {
		const { engine, hear } = await entered();
		expect(engine.rooms.get(ROOM)?.media.peers.map(({ participant }) => participant)).toEqual(["s1", "s2", "s3", "s4", "s5"]);

		await hear({ type: "room_media", room: ROOM, key: "k1", role: "speaker", media: media({ seats: 0 }), seq: 1 });

		expect(engine.rooms.get(ROOM)?.media.peers).toEqual([{ participant: "p2", namespace: ["room", ROOM, "p2"] }]);
	});

	it("tells the others how well it hears, when that has changed", async () => {
		const { engine, socket } = await entered();
		let [received, lost, often] = [0, 0, 0];
		engine.stats = async () => ({ ...(await Object.getPrototypeOf(engine).stats.call(engine)), roundTripMs: 30, peers: [{ room: ROOM, received: (received += 50), lost: (lost += often), concealedMs: 0, delayMs: 40 }] }) as never;
		const told = () => socket().sent().filter(({ do: it }) => (it as { act?: string } | undefined)?.act === "quality").map(({ do: it }) => (it as { mos: number }).mos);
		const pass = (ms: number) => act(async () => void (await vi.advanceTimersByTimeAsync(ms)));

		await pass(10_000);
		expect(told()).toEqual([4.3]);
		often = 10;
		await pass(20_000);

		expect(told().length).toBeLessThanOrEqual(5);
		expect(told().at(-1)).toBeLessThan(3);
	});

	it("publishes only what the role allows", async () => {
		const { engine, find, hear } = await entered({ role: "listener", roster: roster([person("p1", "Anna", { role: "listener" }), person("p2", "Bert")]) });
		expect(engine.rooms.get(ROOM)?.media.publishes).toBe(false);
		expect(engine.microphoneOpen).toBe(false);
		expect(find("room-mute")).toBeNull();

		await hear({ type: "roster", room: ROOM, roster: joined().roster, seq: 1 });

		expect(engine.rooms.get(ROOM)?.media.publishes).toBe(true);
		expect(find("room-mute")).not.toBeNull();
	});

	it("shows people with what holds for them", async () => {
		const { all, hear } = await entered();

		await hear({
			type: "roster",
			room: ROOM,
			roster: roster([person("p1", "Anna"), person("p2", HOSTILE, { muted: true, hand: 1 }), person("p3", "+49 30 1234", { kind: "telephone", held: true, quality: 2.1 })]),
			seq: 1,
		});

		const [, bert, phone] = all("tile");
		expect(bert?.dataset).toMatchObject({ participant: "p2", muted: "true", hand: "true" });
		expect(bert?.querySelector("[data-testid=tile-name]")?.textContent).toBe(HOSTILE);
		expect(document.querySelector("img")).toBeNull();
		expect(phone?.dataset).toMatchObject({ kind: "telephone", held: "true" });
		expect(phone?.querySelector("[data-testid=kind]")?.textContent).toBe(en.room.kinds.telephone);
		expect(phone?.textContent).toContain(en.room.poorQuality);
	});

	it("tells who is the only one how others come", async () => {
		const { find, hear } = await entered({ roster: roster([person("p1", "Anna"), person("p3", "Carl", { presence: "waiting" })]) });
		expect(find("alone")?.textContent).toContain(en.room.nobodyElse);
		expect(find("alone")?.querySelector('[data-testid="copy-link"]')).not.toBeNull();

		await hear({ type: "roster", room: ROOM, roster: roster([person("p1", "Anna"), person("p2", "Bert")]), seq: 1 });

		expect(find("alone")).toBeNull();
	});

	it("rings those who speak, by what is heard", async () => {
		const { engine, all } = await entered();

		await act(() => engine.emit("levels", { microphone: -60, peers: [{ room: ROOM, participant: "p2", level: -20 }] }));
		expect(all("tile").map(({ dataset }) => dataset["speaking"])).toEqual(["false", "true"]);
		await act(async () => {
			vi.advanceTimersByTime(1_000);
			engine.emit("levels", { microphone: -20, peers: [{ room: ROOM, participant: "p2", level: -90 }] });
		});

		expect(all("tile").map(({ dataset }) => dataset["speaking"])).toEqual(["true", "false"]);
	});

	it("rings those who speak as the relay says it, with whom it has in front large, until it says no more", async () => {
		const { engine, all, find, phone } = await entered({ roster: roster([person("p1", "Anna"), person("p2", "Bert"), person("p3", "Carl")]) });
		const tell = (front: string, speaking: string[]) =>
			act(() => engine.emit("text", { room: ROOM, participant: "", name: "speakers", json: JSON.stringify({ version: 1, front, speaking, seats: [] }) }));
		const speaking = () => all("tile").flatMap(({ dataset }) => (dataset["speaking"] === "true" ? [dataset["participant"]] : []));
		const silence = () => act(() => engine.emit("levels", { microphone: -127, peers: [] }));

		await tell("p3", ["p1", "p3"]);
		expect(speaking()).toEqual(["p1", "p3"]);
		expect(phone.room.voices).toEqual({ heard: [], told: ["p1", "p3"] });
		await act(() => (find("room-layout") as HTMLElement).click());
		expect(find("tiles")?.querySelector(".large")?.getAttribute("data-participant")).toBe("p3");
		await tell("p2", ["p2"]);
		expect(speaking()).toEqual(["p2"]);
		await act(() => engine.emit("text", { room: "another", participant: "", name: "speakers", json: '{"version":1,"speaking":[]}' }));
		await act(() => engine.emit("text", { room: ROOM, participant: "", name: "speakers", json: "{" }));
		expect(speaking()).toEqual(["p2"]);

		await act(() => void vi.advanceTimersByTime(13_000));
		await silence();
		expect(speaking()).toEqual([]);
	});

	it("asks for no list of who speaks where there are no seats", async () => {
		const { engine } = await entered({ media: media({ seats: 0 }) });

		expect(engine.calls.filter((call) => call.startsWith("texts"))).toEqual([]);
	});

	it("mutes at once, says who muted, and lets it be undone", async () => {
		const { engine, find, click, socket, hear } = await entered();

		await click("room-mute");
		expect(socket().last("room")).toMatchObject({ do: { act: "mute", participant: "p1", muted: true } });
		expect(engine.rooms.get(ROOM)?.muted).toBe(true);
		await click("room-mute");
		await hear({ type: "room_event", room: ROOM, event: { seq: 1, by: "p2", type: "muted", participant: "p1", muted: true }, seq: 1 });

		expect(engine.rooms.get(ROOM)?.muted).toBe(true);
		expect(find("banner-muted")?.textContent).toContain(en.room.mutedBy("Bert"));
	});

	it("plays people as loud as a host wants", async () => {
		const { engine, hear } = await entered();

		await hear({ type: "roster", room: ROOM, roster: roster([person("p1", "Anna"), person("p2", "Bert", { level_db: -20 })]), seq: 1 });

		expect(engine.calls).toContain(`gain ${ROOM} p2 0.10`);
	});

	it("says that it is recorded, and who listens", async () => {
		const { find, hear } = await entered();

		await hear({ type: "roster", room: ROOM, roster: roster(joined().roster.people, { recording: true, listening: ["Captions <b>", "\u202e"] }), seq: 1 });

		expect(find("banner-recording")?.textContent).toBe(en.room.recording);
		expect(find("banner-listening")?.textContent).toBe(en.room.listening("Captions <b>"));
	});

	it("reads aloud what happens", async () => {
		const { find, hear } = await entered();

		await hear({ type: "room_event", room: ROOM, event: { seq: 1, type: "hand", participant: "p2", raised: true }, seq: 1 });

		expect(find("room-news")?.textContent).toBe(en.room.news.handUp("Bert"));
		await act(() => void vi.advanceTimersByTime(7_000));
		expect(find("room-news")?.textContent).toBe("");
	});

	it("shows what telephones that speak say in words", async () => {
		const { engine, find, hear } = await entered();
		await hear({ type: "roster", room: ROOM, roster: roster([person("p1", "Anna"), person("p2", "Bert"), person("p3", "030 1", { kind: "telephone" })]), seq: 1 });
		expect(engine.calls.filter((call) => call.startsWith("texts"))).toEqual([`texts ${ROOM} speakers`]);

		await act(() => engine.emit("levels", { microphone: -60, peers: [{ room: ROOM, participant: "p3", level: -20 }, { room: ROOM, participant: "p2", level: -20 }] }));
		expect(engine.calls).toContain(`texts ${ROOM} speakers p3`);
		const json = JSON.stringify([{ M: 0, data: { type: "text", id: 1, text: HOSTILE, final: true } }]);
		await act(() => engine.emit("text", { room: ROOM, participant: "p3", name: "text", json }));
		expect(find("caption")?.textContent).toBe(`030 1 ${HOSTILE}`);
		await act(() => void vi.advanceTimersByTime(8_000));

		expect(find("caption")).toBeNull();
		await hear({ type: "room_left", room: ROOM, why: "ended", seq: 2 });
		expect(engine.calls).toContain(`texts ${ROOM} `);
	});

	it("waits behind a call, and is back after it", async () => {
		const { engine, find, hear } = await entered();

		await hear({ type: "incoming", call: CALL, from: { id: "bert", name: "Bert", kind: "browser" }, seq: 1 });
		await act(async () => (find("incoming-answer") as HTMLElement).click());
		expect(find("call")).not.toBeNull();
		expect(find("room-behind")?.textContent).toContain("board");
		expect(engine.rooms.get(ROOM)?.held).toBe(true);
		await hear({ type: "ended", call: CALL, cause: "normal", reason: "", seq: 2 });

		expect(find("room")).not.toBeNull();
		expect(engine.rooms.get(ROOM)?.held).toBe(false);
	});
});

describe("the chat", () => {
	const files = { bytes: 1_000_000, types: ["image/png", "text/plain"] };
	const textFile = (name: string, text = "hello") => new File([text], name, { type: "text/plain" });

	it("takes files by choice, drop and paste, and gives them to whom words go", async () => {
		const requests = stubUploads();
		const { find, click, socket } = await entered({ media: media({ files }) });
		await click("room-chat");
		await act(() => {
			const select = find("chat-to") as HTMLSelectElement;
			select.value = "p2";
			select.dispatchEvent(new Event("change", { bubbles: true }));
		});

		await act(() => void find("chat-drop")?.dispatchEvent(carrying("drop", "dataTransfer", [textFile("b\u00fccher.txt")])));
		await act(() => requests[0]?.upload.onprogress?.({ loaded: 2 } as ProgressEvent));
		expect(requests[0]?.headers).toEqual({ authorization: "Bearer t", "content-type": "text/plain", "x-file-name": "b%C3%BCcher.txt" });
		expect(find("upload")?.querySelector("progress")?.value).toBeCloseTo(0.4);
		expect(find("upload")?.querySelector("progress")?.getAttribute("aria-label")).toBe(en.room.files.sending("b\u00fccher.txt"));
		await act(async () => requests[0]?.finish(201, { file: { id: "f1" } }));
		expect(socket().last("room")).toMatchObject({ do: { act: "say", text: "", file: "f1", to: "p2" } });
		expect(find("upload")).toBeNull();

		await act(() => void find("chat-input")?.dispatchEvent(carrying("paste", "clipboardData", [new File(["x"], "image.png", { type: "image/png" })])));
		expect(requests[1]?.headers["content-type"]).toBe("image/png");
	});

	it("says in words which files do not go, and why", async () => {
		const requests = stubUploads();
		const { all, find, click } = await entered({ media: media({ files }) });
		await click("room-chat");
		const wrong = [textFile("big.txt", "x".repeat(1_000_001)), new File(["x"], "film.mov", { type: "video/quicktime" }), textFile("none.txt", ""), textFile("good.txt")];

		await act(() => void find("chat-drop")?.dispatchEvent(carrying("drop", "dataTransfer", wrong)));
		await act(async () => requests[0]?.finish(429, {}));

		const t = en.room.files;
		expect(requests).toHaveLength(1);
		expect(all("upload-failure").map(({ textContent }) => textContent)).toEqual([t.tooLarge("977 kB"), t.wrongType("PNG, TXT"), t.failures.empty, t.failures.rate_limited]);
		await click("upload-drop");
		expect(all("upload")).toHaveLength(3);
	});

	it("shows a file's name as text, and says why it does not come", async () => {
		const { find, click, hear } = await entered({ media: media({ files }) });
		vi.stubGlobal("fetch", async () => new Response("", { status: 404 }));

		await hear({ type: "chat", room: ROOM, message: message(1, "p2", "", { file: { id: "f1", name: `${HOSTILE}\u202egnp.exe`, type: "text/plain", bytes: 2048 } }), seq: 1 });
		expect(find("room-news")?.textContent).toBe(en.room.news.file("Bert"));
		await click("room-chat");
		expect(find("room-news")?.textContent).toBe("");
		expect(find("file-name")?.textContent).toBe(`${HOSTILE}gnp.exe`);
		expect(document.querySelector("img")).toBeNull();
		expect(find("message-text")).toBeNull();
		await click("file-save");

		expect(find("file-failure")?.textContent).toBe(en.room.files.failures.gone);
	});

	it("has no button for files where the room takes none", async () => {
		const { find, click } = await entered();
		await click("room-chat");

		expect(find("chat-attach")).toBeNull();
	});

	it("sends to all, or to one, and shows what comes as text", async () => {
		const { find, all, click, type, socket, hear } = await entered();
		await click("room-chat");
		await type("chat-input", "hello all");
		await click("chat-send");
		expect(socket().last("room")).toMatchObject({ do: { act: "say", text: "hello all" } });
		await act(() => {
			const select = find("chat-to") as HTMLSelectElement;
			select.value = "p2";
			select.dispatchEvent(new Event("change", { bubbles: true }));
		});
		await type("chat-input", "hello you");
		await click("chat-send");
		expect(socket().last("room")).toMatchObject({ do: { act: "say", text: "hello you", to: "p2" } });

		await hear({ type: "chat", room: ROOM, message: message(1, "p2", HOSTILE, { name: HOSTILE, to: "p1" }), seq: 1 });

		expect(all("message-text")[0]?.textContent).toBe(HOSTILE);
		expect(all("message-name")[0]?.textContent).toBe(HOSTILE);
		expect(all("message")[0]?.textContent).toContain(en.room.privatelyToYou);
		expect(document.querySelector("img")).toBeNull();
	});

	it("counts what was not read", async () => {
		const { find, click, hear } = await entered();

		await hear({ type: "chat", room: ROOM, message: message(1, "p2", "one"), seq: 1 });
		await hear({ type: "chat", room: ROOM, message: message(2, "p2", "two"), seq: 2 });
		expect(find("room-chat-badge")?.textContent).toBe("2");
		await click("room-chat");

		expect(find("room-chat-badge")).toBeNull();
	});
});

describe("a host", () => {
	const HOST: Roster = roster([person("p1", "Anna", { role: "host" }), person("p2", "Bert"), person("p3", "Carl", { presence: "waiting" })], { lobby: true });

	it("lets people in", async () => {
		const { find, click, socket } = await entered({ role: "host", roster: HOST });
		expect(find("room-people-badge")?.textContent).toBe("1");

		await click("room-people");
		await click("admit");

		expect(socket().last("room")).toMatchObject({ do: { act: "admit", participant: "p3" } });
	});

	it("mutes, levels and changes roles; removes at the second press", async () => {
		const { find, all, click, socket } = await entered({ role: "host", roster: HOST });
		await click("room-people");
		await act(() => all("person-more")[0]?.click());
		await click("person-mute");
		expect(socket().last("room")).toMatchObject({ do: { act: "mute", participant: "p2", muted: true } });
		await act(() => {
			const select = find("person-role") as HTMLSelectElement;
			select.value = "listener";
			select.dispatchEvent(new Event("change", { bubbles: true }));
		});
		expect(socket().last("room")).toMatchObject({ do: { act: "role", participant: "p2", role: "listener" } });

		await click("person-remove");
		expect(socket().last("room")).toMatchObject({ do: { act: "role" } });
		await click("person-remove");

		expect(socket().last("room")).toMatchObject({ do: { act: "remove", participant: "p2" } });
	});

	it("locks, mutes all, and invites a telephone whose progress is shown", async () => {
		const { find, click, type, socket, hear } = await entered({ role: "host", roster: HOST });
		await click("room-people");
		await click("lock-room");
		expect(socket().last("room")).toMatchObject({ do: { act: "lock", locked: true } });
		await click("mute-all");
		expect(socket().last("room")).toMatchObject({ do: { act: "mute_all" } });
		await type("dial-out-number", "7003");
		await click("dial-out-call");
		expect(socket().last("room")).toMatchObject({ do: { act: "dial", number: "7003" } });

		await hear({ type: "room_dial", room: ROOM, number: "7003", state: "ended", cause: "busy", seq: 1 });

		expect(find("dial")?.textContent).toContain(en.causes.busy);
	});

	it("sees tools that others do not", async () => {
		const { find, click } = await entered();
		await click("room-people");

		expect(find("host-tools")).toBeNull();
	});
});

describe("the keyboard of a room", () => {
	it("mutes with M, raises the hand with H, opens with C, P, closes with Esc", async () => {
		const { press, socket, find } = await entered();

		await press("m");
		expect(socket().last("room")).toMatchObject({ do: { act: "mute", muted: true } });
		await press("h");
		expect(socket().last("room")).toMatchObject({ do: { act: "hand", participant: "p1", raised: true } });
		await press("p");
		expect(find("panel-people")).not.toBeNull();
		await press("c");
		expect(document.activeElement).toBe(find("chat-input"));
		await press("Escape", find("chat-input"));

		expect(find("panel-chat")).toBeNull();
		expect(find("room")).not.toBeNull();
	});

	it("opens the muted microphone while Space is held", async () => {
		const { press, socket } = await entered();
		await press("m");

		await press(" ");
		expect(socket().last("room")).toMatchObject({ do: { act: "mute", muted: false } });
		await act(() => void document.dispatchEvent(new KeyboardEvent("keyup", { key: " ", bubbles: true })));

		expect(socket().last("room")).toMatchObject({ do: { act: "mute", muted: true } });
	});

	it("leaves typing alone", async () => {
		const { press, socket, find, click } = await entered();
		await click("room-chat");

		await press("m", find("chat-input"));

		expect(socket().last("room")).toBeUndefined();
	});
});

describe("coming back", () => {
	it("asks for the place again after the daemon was restarted, and says so meanwhile", async () => {
		const { find, socket, hear } = await entered();
		await act(() => socket().drop(1006));
		expect(find("room")).not.toBeNull();
		await act(async () => void (await vi.advanceTimersByTimeAsync(1_000)));
		await act(async () => socket().open());
		await hear({ type: "refused", id: socket().last("register")?.["id"], code: "internal", reason: "" });
		await act(async () => void (await vi.advanceTimersByTimeAsync(2_000)));
		await act(async () => socket().open());
		await hear(registeredAnswer(socket().last("register")?.["id"]));
		expect(socket().last("join")).toMatchObject({ room: "board", key: "k1" });
		expect(find("banner-again")).not.toBeNull();

		const other = "a".repeat(32);
		await hear({ type: "ok", id: socket().last("join")?.["id"], ...joined({ room: { id: other, name: "board" }, media: media({ room: other }) }) });

		expect(find("banner-again")).toBeNull();
		expect(find("room")?.getAttribute("data-room")).toBe(other);
	});

	it("takes its place up again when the page was loaded anew", async () => {
		const tab = new MemoryBox();
		const first = await entered({}, tab);
		await first.click("room-mute");
		first.phone.leavePage();
		shut();

		const second = await signedIn({ tab });
		await act(() => second.phone.room.open("board"));

		expect(second.socket().last("join")).toMatchObject({ room: "board", key: "k1" });
		await second.hear({ type: "ok", id: second.socket().last("join")?.["id"], ...joined() });
		expect(second.engine.rooms.get(ROOM)?.muted).toBe(true);
		// A duplicate of the tab gets no key.
		expect(tab.getItem("moqrelay.room")).toBeNull();
	});

	it("says why one is out", async () => {
		const { find, hear, engine } = await entered();

		await hear({ type: "room_left", room: ROOM, why: "removed", seq: 1 });

		expect(find("room-left")?.textContent).toContain(en.room.leftWhy.removed);
		expect(engine.rooms.has(ROOM)).toBe(false);
	});
});

describe("pictures", () => {
	it("are watched where somebody shows one, and told when we do", async () => {
		const video = fakeVideo();
		const { find, hear, click, socket } = await entered({ media: media({ video: true }) }, null, () => video.engine);

		await hear({ type: "roster", room: ROOM, roster: roster([person("p1", "Anna"), person("p2", "Bert", { video: ["camera", "screen"] })]), seq: 1 });
		expect(video.log).toEqual(["watch p2 screen", "watch p2 camera"]);
		await click("room-camera");
		expect(video.log).toContain("cameraOn");
		await act(() => video.emit("sending", { camera: true, screen: false }));
		expect(socket().last("room")).toMatchObject({ do: { act: "video", camera: true, screen: false } });
		expect(find("tile")).not.toBeNull();
		await hear({ type: "room_left", room: ROOM, why: "ended", seq: 2 });

		expect(video.log).toContain("close");
		expect(video.log.filter((entry) => entry.startsWith("stop"))).toHaveLength(2);
	});
});

/** Somebody who is signed in, asks to come in, and gets this answer. */
async function entered(change: Partial<Joined> = {}, tab: MemoryBox | null = null, video?: () => VideoEngine) {
	const made = await signedIn({ ...(tab === null ? {} : { tab }), ...(video === undefined ? {} : { video }) });
	await act(() => made.phone.room.open("board"));
	await made.click("door-join");
	const answer = joined(change);
	if (change.state === "waiting") delete answer.media;
	await made.hear({ type: "ok", id: made.socket().last("join")?.["id"], ...answer });
	return made;
}

function fakeVideo() {
	const log: string[] = [];
	const listeners = new Map<string, ((event: never) => void)[]>();
	const engine: VideoEngine = {
		support: { send: true, receive: true, screen: true, blur: false, pictureInPicture: false },
		sending: { camera: false, screen: false },
		on: (event, listener) => {
			listeners.set(event, [...(listeners.get(event) ?? []), listener as never]);
			return () => {};
		},
		cameraOn: async () => void log.push("cameraOn"),
		cameraOff: () => void log.push("cameraOff"),
		screenOn: async () => void log.push("screenOn"),
		screenOff: () => void log.push("screenOff"),
		preview: () => null,
		blur: async () => false,
		watch: (participant, source) => {
			log.push(`watch ${participant} ${source}`);
			return { resize: () => {}, popOut: async () => false, stop: () => void log.push(`stop ${participant} ${source}`) };
		},
		renew: () => void log.push("renew"),
		stats: async () => ({ sent: [], watched: [] }),
		close: () => void log.push("close"),
	};
	const emit = <K extends keyof VideoEvents>(event: K, value: VideoEvents[K]): void => {
		for (const listener of listeners.get(event) ?? []) listener(value as never);
	};
	return { engine, log, emit };
}

interface Sent {
	readonly upload: { onprogress: ((event: ProgressEvent) => void) | null };
	readonly headers: Record<string, string>;
	finish(status: number, answer: unknown): void;
}

/** Requests that bring files, as they are made. */
function stubUploads(): readonly Sent[] {
	const made: Sent[] = [];
	class Request implements Sent {
		readonly upload = { onprogress: null };
		readonly headers: Record<string, string> = {};
		status = 0;
		responseText = "";
		onload: (() => void) | null = null;
		constructor() {
			made.push(this);
		}
		open(): void {}
		send(): void {}
		abort(): void {}
		setRequestHeader(name: string, value: string): void {
			this.headers[name] = value;
		}
		finish(status: number, answer: unknown): void {
			this.status = status;
			this.responseText = JSON.stringify(answer);
			this.onload?.();
		}
	}
	vi.stubGlobal("XMLHttpRequest", Request);
	return made;
}

function carrying(type: string, where: "dataTransfer" | "clipboardData", files: File[]): Event {
	const event = new Event(type, { bubbles: true, cancelable: true });
	Object.defineProperty(event, where, { value: { types: ["Files"], files } });
	return event;
}
