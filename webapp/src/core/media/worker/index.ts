/** The Worker: link, rooms and codecs, away from the page's thread. */

import type { RelayAddress } from "../api.ts";
import type { WorkerOrder, WorkerReport, WorkerStats } from "../messages.ts";
import { Kind, type Record } from "../wasm/session.ts";
import { Link } from "./link.ts";
import { Rooms } from "./rooms.ts";

interface Scope {
	postMessage(report: WorkerReport): void;
	onmessage: ((event: MessageEvent<WorkerOrder>) => void) | null;
}

/** How often the relay is asked for a sign of life while we are in a room. */
const PING_MS = 2_500;
/** Asking for the relay's address is a request over HTTP. */
const ADDRESS_TIMEOUT_MS = 5_000;
/** Unanswered pings in a row before the session is given up; QUIC itself takes half a minute. */
const PINGS_LOST_MAX = 3;

const scope = globalThis as unknown as Scope;
const report = (message: WorkerReport) => scope.postMessage(message);

let link: Link | null = null;
let wanted: RelayAddress | null = null;
let answer: ((address: RelayAddress | null) => void) | null = null;
let pingsLost = 0;
let pongMs: number | null = null;

const rooms = new Rooms({
	publishing: (room, state, detail) => report({ type: "publishing", room, state, detail }),
	peer: (room, participant, state, detail) => report({ type: "peer", room, participant, state, detail }),
	codecFailed: (detail) => report({ type: "codec_failed", detail }),
});

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
	link = new Link(module, voice, {
		state: (state) => report({ type: "state", state }),
		up: (transport) => {
			pingsLost = 0;
			rooms.up(transport);
		},
		down: () => {
			pongMs = null;
			rooms.down();
		},
		record,
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

function record(record: Record): void {
	switch (record.kind) {
		case Kind.Pong:
			pingsLost = 0;
			pongMs = record.at;
			return;
		case Kind.GoAway:
			link?.leave(new TextDecoder().decode(record.bytes));
			return;
		default:
			rooms.record(record);
	}
}

setInterval(() => {
	const transport = link?.transport;
	const key = rooms.anyKey;
	if (!transport || key === null) {
		pingsLost = 0;
		return;
	}
	if (pingsLost >= PINGS_LOST_MAX) {
		pingsLost = 0;
		link?.lost("the relay does not answer");
		return;
	}
	pingsLost++;
	transport.session.ping(key, performance.now());
	transport.drain();
}, PING_MS);

async function stats(): Promise<WorkerStats> {
	const transport = link?.transport;
	return {
		roundTripMs: (await transport?.roundTripMs()) ?? pongMs,
		maxDatagramBytes: transport?.maxDatagramBytes ?? 0,
		sent: rooms.sent,
		dropped: transport?.dropped ?? 0,
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
		case "held":
			rooms.setHeld(order.room, order.held);
			return;
		case "online":
			link?.hurry();
			return;
		case "stats":
			void stats().then((all) => report({ type: "stats", id: order.id, stats: all }));
			return;
	}
};
