/** A page at one end or both ends of a call, driven by `loop.e2e.mjs`. */

import type { LinkState, MediaEngine, MediaEngineOptions, MediaStats, Probe, RelayAddress, RoomMedia } from "../api.ts";
import { createMediaEngine } from "../engine.ts";

interface Heard {
	readonly stats: MediaStats;
	/** Of the time of listening alone. */
	readonly probe: Probe;
}

interface Page {
	engine: MediaEngine;
	readonly log: string[];
	readonly states: LinkState[];
	/** Where the relay is now, for reconnections. */
	address: RelayAddress;
	begin(address: RelayAddress, options?: MediaEngineOptions & { microphone?: boolean }): Promise<LinkState>;
	join(media: RoomMedia): void;
	listen(seconds: number): Promise<Heard>;
	/** Waits for a line of the log; rejects after that many seconds. */
	seen(line: string, seconds: number): Promise<void>;
}

declare global {
	var page: Page;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

globalThis.page = {
	engine: createMediaEngine(),
	log: [],
	states: [],
	address: { url: "", hashes: [] },

	async begin(address, { microphone = true, ...options } = {}) {
		const engine = createMediaEngine(options);
		this.engine = engine;
		this.address = address;
		const note = (what: string, value: object) => this.log.push(`${what} ${Object.values(value).join(" ")}`.trim());
		engine.on("state", (state) => {
			this.states.push(state);
			note("state", { name: state.name });
		});
		engine.on("publishing", ({ state, detail }) => note("publishing", { state, detail }));
		engine.on("peer", ({ participant, state, detail }) => note("peer", { participant, state, detail }));
		engine.on("error", ({ message }) => note("error", { message }));
		engine.on("mutedSpeech", () => note("muted speech", {}));
		engine.on("heard", ({ participant }) => note("heard", { participant }));
		engine.on("microphone", ({ state }) => note("microphone", { state }));

		await engine.start();
		if (microphone) {
			await engine.openMicrophone({ echoCancellation: false, noiseSuppression: false, autoGainControl: false });
		}
		await engine.probe();
		await engine.connect({ ...address, refresh: async () => this.address });
		return engine.state;
	},

	join(media) {
		this.engine.join(media);
	},

	async listen(seconds) {
		const { frame } = await this.engine.probe();
		const peaks: number[] = [];
		for (let i = 0; i < seconds * 10; i++) {
			await sleep(100);
			const { peakHz } = await this.engine.probe();
			if (peakHz !== null) peaks.push(peakHz);
		}
		const [stats, probe] = await Promise.all([this.engine.stats(), this.engine.probe()]);
		const since = (at: number) => at >= frame;
		return {
			stats,
			probe: {
				...probe,
				peakHz: peaks.toSorted((a, b) => a - b)[peaks.length >> 1] ?? null,
				captured: probe.captured.filter(since),
				played: probe.played.filter(since),
				sounds: probe.sounds.filter(([from]) => since(from)),
			},
		};
	},

	async seen(line, seconds) {
		for (let i = 0; i < seconds * 50; i++) {
			if (this.log.includes(line)) return;
			await sleep(20);
		}
		throw new Error(`"${line}" was not seen; log: ${this.log.join("; ")}`);
	},
};
