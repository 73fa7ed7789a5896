// Firefox, which knows no subprotocols of WebTransport and smaller datagrams, and Chromium call each other.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { startDaemon } from './lib/daemon.mjs';
import { launchFirefox } from './lib/firefox.mjs';
import { connect, endsWithin, hearEachOther } from './lib/phone.mjs';

const HANGUP_MS_MAX = 500;
const MILLIWATT_HZ = 1004;

let daemon;
let chromium;
let firefox;
let anna;
let fritz;

before(async () => {
  daemon = await startDaemon();
  [chromium, firefox] = await Promise.all([launchChromium({ hz: 620 }), launchFirefox()]);
  anna = await chromium.phone({ url: daemon.url });
  await anna.signIn('Anna');
  fritz = await firefox.phone({ url: daemon.url });
  await fritz.signIn('Fritz');
});

after(async () => {
  await Promise.all([chromium?.close(), firefox?.close()]);
  await daemon?.stop();
});

afterEach(async (context) => {
  await Promise.all([anna, fritz].map((phone) => phone?.rest()));
  if (!context.passed && daemon !== undefined) console.error(daemon.log().split('\n').slice(-40).join('\n'));
});

test('Firefox hears the test tone', async () => {
  await fritz.click('service-milliwatt');
  await fritz.call('up');

  await fritz.hears(MILLIWATT_HZ);
});

test('Firefox hears itself from the echo', async () => {
  await fritz.click('service-echo');
  await fritz.call('up');

  await fritz.hears(fritz.hz);
});

test('Firefox calls Chromium', async () => {
  await connect(fritz, anna, 'anna');

  await hearEachOther(fritz, anna);
  await endsWithin(HANGUP_MS_MAX, () => anna.clickedAt('call-hangup'), fritz);
  assert.equal(await fritz.ended(), 'normal');
});

test('Chromium calls Firefox', async () => {
  await connect(anna, fritz, 'fritz');

  await hearEachOther(anna, fritz);
  await endsWithin(HANGUP_MS_MAX, () => fritz.clickedAt('call-hangup'), anna);
  assert.equal(await anna.ended(), 'normal');
});

test('Firefox goes on with its call when it is loaded again', async () => {
  await connect(anna, fritz, 'fritz');
  await hearEachOther(anna, fritz);

  await fritz.driver.reload();
  await fritz.ready();

  await fritz.call('up');
  await hearEachOther(anna, fritz);
});
