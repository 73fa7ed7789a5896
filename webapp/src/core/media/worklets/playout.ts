/** The loudspeaker's end: takes decoded frames from the Worker, plays the sum of all peers. */

import {
	type PlayoutControl,
	type PlayoutOrder,
	type PlayoutPeerStats,
	type PlayoutReport,
	type PlayoutReturn,
	SAMPLE_RATE,
} from "../messages.ts";
import { Playout } from "../wasm/playout.ts";
import { BurstDetector } from "./bursts.ts";
import { scope } from "./scope.ts";

/** Ten reports of levels a second. */
const LEVEL_SAMPLES = SAMPLE_RATE / 10;

interface Peer {
	readonly id: number;
	readonly room: string;
	readonly participant: string;
	heard: boolean;
}

class PlayoutProcessor extends scope.AudioWorkletProcessor {
	#wasm: Playout | null = null;
	#worker: MessagePort | null = null;
	#alive = true;
	#bursts: BurstDetector | null = null;
	/** A list, not a map: it is walked far more often than searched, and it is short. */
	#peers: Peer[] = [];
	#reportAt = 0;

	constructor({ processorOptions }: { processorOptions: { module: ArrayBuffer } }) {
		super();
		this.port.onmessage = ({ data }: MessageEvent<PlayoutControl>) => this.#control(data);
		try {
			this.#wasm = new Playout(processorOptions.module);
			this.#report({ type: "ready" });
		} catch (error) {
			this.#report({ type: "broken", detail: String(error) });
		}
	}

	process(_inputs: Float32Array[][], [output]: Float32Array[][]): boolean {
		const samples = output?.[0];
		if (samples === undefined || this.#wasm === null) return this.#alive;
		const frame = scope.currentFrame;
		this.#wasm.render(samples, frame);
		this.#bursts?.push(samples, frame);
		if (frame >= this.#reportAt) {
			this.#reportAt = frame + LEVEL_SAMPLES;
			this.#meter();
		}
		return this.#alive;
	}

	#control(order: PlayoutControl): void {
		switch (order.type) {
			case "worker":
				this.#worker = order.port;
				order.port.onmessage = ({ data }: MessageEvent<PlayoutOrder>) => this.#order(data);
				return;
			case "probe":
				this.#bursts ??= new BurstDetector(
					(frame) => this.#report({ type: "burst", frame }),
					(from, to) => this.#report({ type: "sound", from, to }),
				);
				return;
			case "stats":
				this.#report({ type: "stats", id: order.id, peers: this.#stats() });
				return;
			case "stop":
				this.#alive = false;
				return;
		}
	}

	#order(order: PlayoutOrder): void {
		switch (order.type) {
			case "add":
				if (this.#wasm?.add(order.id)) {
					const { id, room, participant } = order;
					this.#peers.push({ id, room, participant, heard: false });
				}
				return;
			case "remove":
				this.#wasm?.remove(order.id);
				this.#peers = this.#peers.filter((peer) => peer.id !== order.id);
				return;
			case "gain":
				this.#wasm?.setGain(order.id, order.gain);
				return;
			case "pause":
				this.#wasm?.pause(order.id, order.at);
				return;
			case "play": {
				this.#wasm?.push(order.id, order.at, order.pcm, scope.currentFrame);
				const back: PlayoutReturn = { pcm: order.pcm };
				this.#worker?.postMessage(back, [order.pcm.buffer]);
				return;
			}
		}
	}

	#meter(): void {
		const wasm = this.#wasm;
		if (wasm === null || this.#peers.length === 0) return;
		const peers = this.#peers.map(({ id, room, participant }) => ({ room, participant, level: wasm.level(id) }));
		this.#report({ type: "levels", peers });
		for (const peer of this.#peers) {
			if (peer.heard || !wasm.heard(peer.id)) continue;
			peer.heard = true;
			this.#report({ type: "heard", room: peer.room, participant: peer.participant });
		}
	}

	#stats(): PlayoutPeerStats[] {
		const all: PlayoutPeerStats[] = [];
		for (const { id, room, participant } of this.#peers) {
			const stats = this.#wasm?.stats(id);
			if (stats) all.push({ room, participant, ...stats });
		}
		return all;
	}

	#report(report: PlayoutReport): void {
		this.port.postMessage(report);
	}
}

scope.registerProcessor("moqrelay-playout", PlayoutProcessor as never);
