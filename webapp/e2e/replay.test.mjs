// What was just said, once more: by FETCH from the relay, while the call goes on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { startDaemon } from './lib/daemon.mjs';
import { connect } from './lib/phone.mjs';
import { writeTones } from './lib/wav.mjs';

/** Bert says one for twelve seconds, then the other one, and so on. */
const [BEFORE_HZ, NOW_HZ] = [440, 880];
const SECONDS = 12;

let daemon;
let browsers = [];
let anna;
let bert;

before(async () => {
  daemon = await startDaemon();
  browsers = await Promise.all([
    launchChromium({ hz: 620 }),
    launchChromium({ hz: BEFORE_HZ, write: (path) => writeTones(path, { tones: [BEFORE_HZ, NOW_HZ], seconds: SECONDS }) }),
  ]);
  [anna, bert] = await Promise.all(browsers.map((browser) => browser.phone({ url: daemon.url })));
  await anna.signIn('Anna');
  await bert.signIn('Bert');
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  assert.equal(await daemon?.stop(), 0);
});

test('the last ten seconds are heard again, live sound is soft meanwhile and comes back', async (context) => {
  await connect(anna, bert, 'bert');
  await anna.hears(BEFORE_HZ, 3 * SECONDS * 1_000);
  await anna.hears(NOW_HZ, 2 * SECONDS * 1_000);
  const count = await anna.count();

  await anna.click('replay-10');
  await anna.see('replay[data-state="playing"]');
  await anna.hears(BEFORE_HZ);
  await anna.click('replay-live');

  await anna.see('replay[data-state="idle"]');
  await anna.hears(NOW_HZ);
  const { lost, received } = await count();
  context.diagnostic(`live meanwhile: ${received} objects, ${lost} lost`);
  assert.ok(lost <= 1, `${lost} objects of the live track were lost`);
  assert.deepEqual(anna.driver.complaints.filter((text) => !/WebSocket|Failed to load/.test(text)), []);
});

test('the keyboard does it too, and a replay ends by itself', async () => {
  await anna.hears(BEFORE_HZ, 2 * SECONDS * 1_000);
  await anna.driver.press('r');
  await anna.see('replay[data-state="playing"]');

  await anna.see('replay[data-state="idle"]', 15_000);

  assert.equal(await anna.has('notice'), false);
});
