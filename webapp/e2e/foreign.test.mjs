// A MoQ client of other makers hears a telephone caller: the track of a leg is a track like any other.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startAsterisk, startPhone } from '../../deploy/asterisk/harness.mjs';
import { launchChromium } from './lib/chromium.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from './lib/daemon.mjs';
import { until } from './lib/wait.mjs';

const LISTENER =
  process.env.MOQRELAY_LISTENER ?? fileURLToPath(new URL('../../target/debug/examples/foreign_listener', import.meta.url));
const PHONE_HZ = 700;

const parts = [];
let daemon;
let anna;
let alice;

before(async () => {
  assert.ok(existsSync(LISTENER), `${LISTENER} is missing: cargo build --package moqrelay --example foreign_listener`);
  const ports = await freePorts();
  const asterisk = await startAsterisk({
    audiosocket: `127.0.0.1:${ports.audiosocket}`,
    api: `http://127.0.0.1:${ports.http}`,
    secret: ASTERISK_SECRET,
  });
  parts.push(asterisk);
  const { url, user, password } = asterisk.ari;
  const toml = `[asterisk.ari]\nurl = "${url}"\nuser = "${user}"\npassword = "${password}"\ndial = "Local/{number}@internal/n"\n`;
  daemon = await startDaemon({ ports, toml });
  await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
  const browser = await launchChromium({ hz: 440 });
  parts.push({ stop: () => browser.close() });
  anna = await browser.phone({ url: daemon.url });
  await anna.signInWith(daemon.token({ id: 'anna', name: 'Anna', number: '7001' }));
  alice = await startPhone({ asterisk, name: 'alice', hz: PHONE_HZ });
  parts.push(alice);
});

after(async () => {
  for (const part of parts.toReversed()) await part.stop();
  await daemon?.stop();
});

test('a foreign subscriber hears the telephone', async () => {
  await alice.dial('7001');
  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  const room = await anna.driver.evaluate(() => window.__moqrelay.calls().calls[0].id);
  const { url } = await daemon.transport();

  const token = daemon.listenerToken(`room/${room}`);
  const { stdout } = await promisify(execFile)(LISTENER, [`${url}?token=${token}`, `room/${room}/p1`, `${PHONE_HZ}`]);

  const heard = JSON.parse(stdout);
  assert.equal(heard.objects, 100);
  assert.ok(heard.purity > 0.8, `what was heard is ${stdout}`);
});

test('without a token it hears nothing', async () => {
  const room = await anna.driver.evaluate(() => window.__moqrelay.calls().calls[0].id);
  const { url } = await daemon.transport();
  const before = refusals(await daemon.metrics());

  // What the listener says depends on what its library reads before it ends: the daemon's count does not.
  const listener = await promisify(execFile)(LISTENER, [url, `room/${room}/p1`, `${PHONE_HZ}`]).catch((error) => error);

  assert.equal(listener.code, 1, `the listener ended with ${listener.code}: ${listener.stderr}`);
  assert.equal(listener.stdout, '', 'it tells of sound');
  const after = await until(async () => refusals(await daemon.metrics()) - before, { what: 'the refusal to be counted' });
  assert.equal(after, 1);
});

test('the token of a browser that has transferred the call opens nothing any more', async () => {
  const { id: room, phase } = await anna.driver.evaluate(() => window.__moqrelay.calls().calls[0]);
  const { url } = await daemon.transport();
  const hear = (token) => promisify(execFile)(LISTENER, [`${url}?token=${token}`, `room/${room}/p1`, `${PHONE_HZ}`]);
  const told = JSON.parse((await hear(phase.media.token)).stdout);
  assert.equal(told.objects, 100, 'it is good while the call is hers');

  await anna.click('call-transfer');
  await anna.driver.fill('[data-testid="transfer-input"]', '604');
  await anna.click('transfer-now');
  assert.equal(await anna.ended(), 'transferred');
  const listener = await hear(phase.media.token).catch((error) => error);

  assert.equal(listener.code, 1, `the listener ended with ${listener.code}: ${listener.stderr}`);
  assert.equal(listener.stdout, '', 'it tells of sound');
  const others = JSON.parse((await hear(daemon.listenerToken(`room/${room}`))).stdout);
  assert.equal(others.objects, 100, 'the call goes on');
  const closed = alice.closed();
  await alice.hangUp();
  await closed;
});

/** How many sessions were ended as not authorized (UNAUTHORIZED of draft-18, 0x2). */
function refusals(metrics) {
  const line = metrics.split('\n').find((each) => each.startsWith('moqrelay_relay_session_ends_total{code="2"}'));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}
