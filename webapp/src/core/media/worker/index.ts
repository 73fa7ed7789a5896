/** The Worker: link, rooms and codecs, away from the page's thread. */

import type { RelayAddress } from "../api.ts";
import type { WorkerOrder, WorkerReport, WorkerStats } from "../messages.ts";
import { Lines } from "../wasm/lines.ts";
import { FIRST_KEY, VideoHub } from "../../../video/worker/hub.ts";
import { Link } from "./link.ts";
import { Rooms } from "./rooms.ts";
import { TEXTS_FIRST_KEY, Texts } from "./texts.ts";
import { webSockets } from "./web-socket.ts";
import { openWebTransport } from "./web-transport.ts";

interface Scope {
	postMessage(report: WorkerReport): void;
	onmessage: ((event: MessageEvent<WorkerOrder>) => void) | null;
}

/** Asking for the relay's address is a request over HTTP. */
const ADDRESS_TIMEOUT_MS = 5_000;

const scope = globalThis as unknown as Scope;
const report = (message: WorkerReport) => scope.postMessage(message);

let link: Link | null = null;
let wanted: RelayAddress | null = null;
let answer: ((address: RelayAddress | null) => void) | null = null;

const rooms = new Rooms({
	publishing: (room, state, detail) => report({ type: "publishing", room, state, detail }),
	peer: (room, participant, state, detail) => report({ type: "peer", room, participant, state, detail }),
	codecFailed: (detail) => report({ type: "codec_failed", detail }),
	replay: (room, state) => report({ type: "replay", room, state }),
	settled: (session) => link?.settled(session),
	heard: (room, participant, at) => video.heard(room, participant, at),
});
const video = new VideoHub(rooms);
const texts = new Texts((text) => report({ type: "text", ...text }));

async function start(url: string, voice: "stream" | undefined): Promise<void> {
	let module: WebAssembly.Module;
	try {
		// Not compileStreaming: it insists on a content type that not every server gives.
		const response = await fetch(url);
		if (!response.ok) throw new Error(`${url}: ${response.status}`);
		module = await WebAssembly.compile(await response.arrayBuffer());
	} catch (error) {
		report({ type: "state", state: { name: "failed", reason: "wasm", detail: String(error) } });
		return;
	}
	rooms.setLines(new Lines(module));
	const ways = {
		...("WebTransport" in globalThis && { webtransport: openWebTransport }),
		websocket: webSockets(module),
	};
	link = new Link(module, ways, voice, {
		state: (state) => report({ type: "state", state }),
		use: (session) => {
			rooms.use(session);
			video.use(session);
			texts.use(session);
		},
		drop: (session) => {
			rooms.drop(session);
			video.drop(session);
			texts.drop(session);
		},
		record: (_, record) => (record.id >= FIRST_KEY ? video : record.id >= TEXTS_FIRST_KEY ? texts : rooms).record(record),
		pingKey: (session) => rooms.pingKey(session),
		address: () =>
			new Promise((resolve) => {
				answer?.(null);
				answer = resolve;
				report({ type: "address_wanted" });
				setTimeout(resolve, ADDRESS_TIMEOUT_MS, null);
			}),
	});
	if (wanted !== null) link.connect(wanted);
}

async function stats(): Promise<WorkerStats> {
	const session = link?.session ?? null;
	return {
		roundTripMs: (await session?.roundTripMs()) ?? null,
		maxDatagramBytes: session?.maxDatagramBytes ?? 0,
		moves: link?.moves ?? 0,
		sent: rooms.sent,
		dropped: rooms.dropped,
		captureToSendMs: rooms.captureToSendMs,
		encoderRestarts: rooms.encoderRestarts,
		peers: rooms.stats(),
	};
}

scope.onmessage = ({ data: order }) => {
	switch (order.type) {
		case "init":
			void start(order.sessionWasm, order.voice);
			return;
		case "capture":
			rooms.setCapture(order.port);
			return;
		case "playout":
			rooms.setPlayout(order.port);
			return;
		case "connect":
			wanted = order.address;
			link?.connect(order.address);
			return;
		case "address":
			answer?.(order.address);
			answer = null;
			return;
		case "disconnect":
			wanted = null;
			rooms.leaveAll();
			link?.disconnect();
			return;
		case "join":
			rooms.join(order.media);
			return;
		case "add_peer":
			rooms.addPeer(order.room, order.peer);
			return;
		case "remove_peer":
			rooms.removePeer(order.room, order.participant);
			return;
		case "leave":
			rooms.leave(order.room);
			return;
		case "muted":
			rooms.setMuted(order.room, order.muted);
			return;
		case "gain":
			rooms.setGain(order.room, order.participant, order.gain);
			return;
		case "texts":
			texts.follow(order.room, order.token, order.tracks);
			return;
		case "held":
			rooms.setHeld(order.room, order.held);
			return;
		case "replay":
			rooms.replay(order.room, order.seconds);
			return;
		case "stop_replay":
			rooms.stopReplay();
			return;
		case "online":
			link?.hurry();
			return;
		case "video":
			video.attach(order.port);
			return;
		case "stats":
			void stats().then((all) => report({ type: "stats", id: order.id, stats: all }));
			return;
	}
};
