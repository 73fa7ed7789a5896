/**
 * The media engine in a real Chromium, through a real relay: `node --test src/core/media/e2e/loop.e2e.mjs`.
 * Needs ./build-wasm, Chromium (`CHROMIUM`, default /usr/bin/chromium), and Cargo or `MOQRELAY_OPEN_RELAY`.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { startRelay } from "./relay.mjs";
import { delays, launch, quantile, servePage, writeBursts } from "./stage.mjs";

/** Frame 20, Opus 6.5, jitter buffer 20 to 40, transport and threads 5; the rest is for noise. */
const DELAY_MS_MAX = 100;
const ROUNDS_MAX = 8;
/** One bin of the spectrum. */
const BIN_HZ = 2.93;

let relay;
let site;
let wav;
let browser;
const faults = [];

before(async () => {
	[relay, site] = await Promise.all([startRelay(), servePage()]);
	wav = await writeBursts(`${site.folder}/microphone.wav`);
	browser = await launch(wav);
});

after(async () => {
	await browser?.close();
	await site?.close();
	await relay?.stop();
});

afterEach(() => assert.deepEqual(faults.splice(0), []));

describe("a page that calls itself", () => {
	let tab;
	let room;
	beforeEach(async (context) => {
		room = randomBytes(16).toString("hex");
		tab = await open();
		context.after?.(() => tab.close());
	});

	it("hears its microphone soon and whole, by datagrams", async (context) => {
		await begin(tab);
		await tab.evaluate((media) => page.join(media), alone(room));

		await tab.evaluate(() => page.seen("heard p1", 5));
		const { stats, probe } = await calmly(context, "datagrams", tab);

		assert.ok(Math.abs(probe.peakHz - 440) <= BIN_HZ, `${probe.peakHz} Hz`);
		const [peer] = stats.peers;
		assert.ok(peer.received > 250 && peer.lost <= 3, `${peer.received} received, ${peer.lost} lost`);
		assert.ok(stats.roundTripMs < 100);
		assert.deepEqual(brokenBursts(probe), []);
		assert.deepEqual(await errors(tab), []);
		await tab.close();
	});

	it("hears it on streams too", async (context) => {
		await begin(tab, { voice: "stream" });
		await tab.evaluate((media) => page.join(media), alone(room));

		await tab.evaluate(() => page.seen("heard p1", 5));
		const { stats, probe } = await calmly(context, "streams", tab);

		assert.equal((await tab.evaluate(() => page.states.at(-1))).voice, "stream");
		assert.ok(Math.abs(probe.peakHz - 440) <= BIN_HZ, `${probe.peakHz} Hz`);
		assert.ok(stats.peers[0].lost <= 3);
		assert.deepEqual(await errors(tab), []);
		await tab.close();
	});

	it("is silent while muted or held, and says that somebody speaks", async () => {
		await begin(tab);
		await tab.evaluate((media) => page.join(media), alone(room));
		await tab.evaluate(() => page.seen("heard p1", 5));

		await tab.evaluate((room) => page.engine.setMuted(room, true), room);
		await tab.evaluate(() => page.seen("muted speech", 5));
		const muted = await listen(tab, 2);
		assert.deepEqual(muted.probe.played, []);
		assert.equal(muted.stats.sent, (await listen(tab, 1)).stats.sent);

		await tab.evaluate((room) => page.engine.setMuted(room, false), room);
		await tab.evaluate((room) => page.engine.setHeld(room, true), room);
		assert.deepEqual((await listen(tab, 2)).probe.played, []);

		await tab.evaluate((room) => page.engine.setHeld(room, false), room);
		await listen(tab, 1);
		const { probe } = await listen(tab, 4);
		const ms = delays(probe);
		assert.ok(ms.length >= 2 && quantile(ms, 0.5) < 150, `${ms} ms`);
		assert.deepEqual(await errors(tab), []);
		await tab.close();
	});

	it("stops hearing a peer that is removed and a room that is left", async () => {
		await begin(tab);
		await tab.evaluate((media) => page.join(media), alone(room));
		await tab.evaluate(() => page.seen("heard p1", 5));

		await tab.evaluate((room) => page.engine.removePeer(room, "p1"), room);
		await listen(tab, 0.5);
		assert.deepEqual((await listen(tab, 2)).probe.played, []);

		await tab.evaluate((room) => page.engine.leave(room), room);
		await listen(tab, 0.5);
		const { stats } = await listen(tab, 0.5);
		assert.equal(stats.sent, (await listen(tab, 1)).stats.sent);
		assert.deepEqual(stats.peers, []);
		await tab.close();
	});

	it("plays ringing and the keys of the dial pad", async () => {
		await begin(tab, { microphone: false });

		await tab.evaluate(() => page.engine.startTone("ringback"));
		const { probe } = await listen(tab, 1);
		// The probe hears peers; tones go to the loudspeaker alone.
		assert.equal(probe.peakHz, null);
		await tab.evaluate(() => {
			page.engine.playDigit("5");
			page.engine.stopTone();
		});
		assert.deepEqual(await errors(tab), []);
		await tab.close();
	});
});

describe("two pages", () => {
	it("hear each other, and go on after the relay was restarted", async (context) => {
		const room = randomBytes(16).toString("hex");
		const [one, two] = await Promise.all([open(), open()]);
		await Promise.all([begin(one), begin(two, { microphone: false, testSource: true })]);
		await Promise.all([
			one.evaluate((media) => page.join(media), between(room, "p1", "p2")),
			two.evaluate((media) => page.join(media), between(room, "p2", "p1")),
		]);
		await Promise.all([
			one.evaluate(() => page.seen("heard p2", 5)),
			two.evaluate(() => page.seen("heard p1", 5)),
		]);
		for (const { probe } of await Promise.all([listen(one, 3), listen(two, 3)])) {
			assert.ok(Math.abs(probe.peakHz - 440) <= BIN_HZ, `${probe.peakHz} Hz`);
			assert.ok(probe.played.length >= 2);
		}

		const { port } = relay;
		await relay.stop();
		relay = await startRelay(port);
		const began = Date.now();
		for (const tab of [one, two]) {
			await tab.evaluate((address) => {
				page.address = address;
				page.log.length = 0;
			}, relay.address);
		}
		await Promise.all([one, two].map((tab) => tab.evaluate(() => page.seen("state connected", 60))));
		await Promise.all([
			one.evaluate(() => page.seen("peer p2 live", 10)),
			two.evaluate(() => page.seen("peer p1 live", 10)),
		]);
		context.diagnostic(`back after ${Date.now() - began} ms`);
		await listen(one, 1);
		for (const { probe, stats } of await Promise.all([listen(one, 4), listen(two, 4)])) {
			assert.ok(probe.played.length >= 3, `${probe.played.length} bursts`);
			assert.ok(stats.peers[0].delayMs < 150, `${stats.peers[0].delayMs} ms`);
		}
		assert.deepEqual([...(await errors(one)), ...(await errors(two))], []);
		await Promise.all([one.close(), two.close()]);
	});
});

describe("a relay that is not there", () => {
	it("is told as unreachable after some tries", async () => {
		const tab = await open();
		// A port that was free a moment ago, and a certificate that nobody has.
		const address = { url: "https://127.0.0.1:44399/moq", hashes: ["00".repeat(32)] };

		const state = await tab.evaluate((address) => page.begin(address, { microphone: false }), address);

		assert.equal(state.name, "failed");
		assert.equal(state.reason, "unreachable");
		const tries = (await tab.evaluate(() => page.states)).filter(({ name }) => name === "reconnecting");
		assert.equal(tries.length, 4);
		await tab.close();
	});
});

async function open() {
	const tab = await browser.newPage();
	// The Worker's errors come this way too.
	tab.on("pageerror", (error) => faults.push(String(error)));
	await tab.goto(site.url);
	await tab.waitForFunction(() => "page" in globalThis);
	return tab;
}

async function begin(tab, options = {}) {
	const state = await tab.evaluate(([address, options]) => page.begin(address, options), [relay.address, options]);
	assert.equal(state.name, "connected", JSON.stringify(await tab.evaluate(() => page.states)));
}

/**
 * Listens for 5 s; again while other programs starve the audio thread, which the jitter buffer
 * answers with delay that it gives back afterwards.
 */
async function calmly(context, how, tab) {
	const medians = [];
	for (let round = 0; round < ROUNDS_MAX; round++) {
		const heard = await listen(tab, 5);
		const ms = delays(heard.probe);
		report(context, how, ms, heard.stats);
		medians.push(quantile(ms, 0.5));
		if (ms.length >= 3 && medians.at(-1) < DELAY_MS_MAX && brokenBursts(heard.probe).length === 0) return heard;
	}
	throw new Error(`worklet to worklet: ${medians} ms`);
}

const listen = (tab, seconds) => tab.evaluate((seconds) => page.listen(seconds), seconds);
const errors = (tab) => tab.evaluate(() => page.log.filter((line) => line.startsWith("error") || line.includes("refused")));

const alone = (room) => ({ ...between(room, "p1", "p1") });

function between(room, participant, peer) {
	return {
		room,
		participant,
		namespace: ["room", room, participant],
		token: "",
		peers: [{ participant: peer, namespace: ["room", room, peer] }],
	};
}

/** Bursts that were heard in pieces: each of 300 ms should be one stretch of sound. */
function brokenBursts({ sounds }) {
	return sounds.slice(1, -1).filter(([from, to]) => to - from < 0.27 * 48_000);
}

function report(context, how, ms, stats) {
	const [peer] = stats.peers;
	context.diagnostic(
		`${how}: worklet to worklet ${ms[0]?.toFixed(1)}/${quantile(ms, 0.5)?.toFixed(1)}/${ms.at(-1)?.toFixed(1)} ms ` +
			`(least/median/most of ${ms.length}); round trip ${stats.roundTripMs?.toFixed(1)} ms; target ${peer.targetMs.toFixed(1)}, ` +
			`delay ${peer.delayMs.toFixed(1)}, jitter ${peer.jitterMs.toFixed(1)} ms; concealed ${peer.concealedMs.toFixed(0)} ms, ` +
			`underruns ${peer.underruns}, late ${peer.late}, lost ${peer.lost} of ${peer.received}; ` +
			`encoding ${stats.captureToSendMs?.toFixed(1)} ms; output ${stats.outputLatencyMs.toFixed(0)} ms`,
	);
}
