// Calls whose sessions change: what of the sound is lost is counted and printed.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { startDaemon } from './lib/daemon.mjs';
import { connect, hearEachOther } from './lib/phone.mjs';
import { until } from './lib/wait.mjs';

/** One frame. */
const LOST_MS_MAX = 20;
/** Moves of each kind. A gap that a move makes is in every one; a stall of the machine, which sounds the same, is not. */
const ROUNDS = 3;

let daemon;
let browsers = [];
let anna;
let bert;

before(async () => {
  daemon = await startDaemon();
  browsers = await Promise.all([440, 620].map((hz) => launchChromium({ hz })));
  [anna, bert] = await Promise.all(browsers.map((browser) => browser.phone({ url: daemon.url })));
  await anna.signIn('Anna');
  await bert.signIn('Bert');
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  const status = await daemon?.stop();
  if (daemon !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
});

afterEach(async (context) => {
  await Promise.all([anna, bert].map((phone) => phone?.rest()));
  if (!context.passed && daemon !== undefined) console.error(daemon.log().split('\n').slice(-40).join('\n'));
});

describe('GOAWAY in mid-call', () => {
  test('moves one side, then both, without a gap', async (context) => {
    await connect(anna, bert, 'bert');
    await hearEachOther(anna, bert);

    for (const which of [(sessions) => sessions.slice(0, 1), (sessions) => sessions]) {
      const madeUp = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const counts = await Promise.all([anna.count(), bert.count()]);
        const asked = which(await daemon.sessions());
        await Promise.all(asked.map(({ id }) => daemon.goAway(id)));
        const gone = asked.map(({ id }) => id);
        await leave(gone);
        await hearEachOther(anna, bert);

        const missing = await Promise.all(counts.map((count) => count()));
        context.diagnostic(`${asked.length} asked to go: ${JSON.stringify(missing)}`);
        assert.equal(missing[0].moves + missing[1].moves, asked.length);
        for (const { lost } of missing) assert.ok(lost <= 1, `${lost} objects were lost`);
        madeUp.push(Math.max(...missing.map(({ concealedMs }) => concealedMs)));
      }
      const usual = madeUp.toSorted((one, other) => one - other)[Math.floor(ROUNDS / 2)];
      assert.ok(usual <= LOST_MS_MAX, `${madeUp} ms were made up`);
    }
  });
});

/** Waits until sessions are no more. */
async function leave(ids) {
  await until(async () => (await daemon.sessions()).every(({ id }) => !ids.includes(id)), { what: `the end of sessions ${ids}` });
}
