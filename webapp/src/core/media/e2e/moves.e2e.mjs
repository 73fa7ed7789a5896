/**
 * A call that changes its session: `node --test src/core/media/e2e/moves.e2e.mjs`. Needs what `loop.e2e.mjs` needs.
 *
 * What is lost on the way is counted in the playout worklet (sound made up because none was there) and
 * by the numbers of the objects.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { startRelay } from "./relay.mjs";
import { launch, servePage, writeBursts } from "./stage.mjs";

/** One frame. */
const LOST_MS_MAX = 20;

let site;
let browser;

before(async () => {
	site = await servePage();
	// A tone without a seam.
	browser = await launch(await writeBursts(`${site.folder}/microphone.wav`, 440, 1000));
});

after(async () => {
	await browser?.close();
	await site?.close();
});

describe("a relay that says GOAWAY and where to", () => {
	it("is left by both sides of a call without a gap", async (context) => {
		const [from, to] = await Promise.all([startRelay(), startRelay()]);
		context.after(() => Promise.all([from.stop(), to.stop()]));
		const room = randomBytes(16).toString("hex");
		const tabs = await Promise.all([open(), open()]);
		context.after(() => Promise.all(tabs.map((tab) => tab.close())));
		// What a server would say that knows both.
		const address = { ...from.address, hashes: [...from.address.hashes, ...to.address.hashes] };
		await Promise.all(tabs.map((tab) => tab.evaluate((address) => page.begin(address), address)));
		await Promise.all(tabs.map((tab, n) => tab.evaluate((media) => page.join(media), between(room, `p${n + 1}`, `p${2 - n}`))));
		await Promise.all(tabs.map((tab, n) => tab.evaluate((line) => page.seen(line, 5), `heard p${2 - n}`)));
		await Promise.all(tabs.map((tab) => tab.evaluate(() => page.listen(3))));
		const before = await Promise.all(tabs.map(peerOf));

		from.goAway(to.address.url);
		await from.ended;
		await Promise.all(tabs.map((tab) => tab.evaluate(() => page.listen(2))));

		const after = await Promise.all(tabs.map(peerOf));
		for (const [n, { moves, ...peer }] of after.entries()) {
			const made = peer.concealedMs - before[n].concealedMs;
			const lost = peer.lost - before[n].lost;
			context.diagnostic(
				`page ${n + 1}: made up ${made.toFixed(1)} ms, lost ${lost} of ${peer.received - before[n].received}, ` +
					`late ${peer.late - before[n].late}, underruns ${peer.underruns - before[n].underruns}, delay ${peer.delayMs.toFixed(0)} ms`,
			);
			assert.equal(moves, 1);
			assert.ok(made <= LOST_MS_MAX, `${made} ms were made up`);
			assert.ok(lost <= 1, `${lost} objects were lost`);
			assert.deepEqual(await tabs[n].evaluate(() => page.states.map(({ name }) => name).filter((name) => name === "reconnecting")), []);
		}
		for (const tab of tabs) assert.deepEqual(await tab.evaluate(() => page.log.filter((line) => /error|refused|ended/.test(line))), []);
	});
});

async function open() {
	const tab = await browser.newPage();
	await tab.goto(site.url);
	await tab.waitForFunction(() => "page" in globalThis);
	return tab;
}

async function peerOf(tab) {
	const { moves, peers } = await tab.evaluate(() => page.engine.stats());
	return { moves, ...peers[0] };
}

function between(room, participant, peer) {
	return {
		room,
		participant,
		namespace: ["room", room, participant],
		token: "",
		peers: [{ participant: peer, namespace: ["room", room, peer] }],
	};
}
