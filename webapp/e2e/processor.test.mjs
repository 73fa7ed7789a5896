// A telephone calls the echo by way of a media processor, the example service, which is killed in mid-call: the call
// does not notice, the service is left alone, and found again when it is back. Then one dials a room, which reads its texts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { callByTicket } from './lib/audiosocket.mjs';
import { launchChromium } from './lib/chromium.mjs';
import { freePorts, startDaemon } from './lib/daemon.mjs';
import { WebRoom } from './lib/room.mjs';
import { until } from './lib/wait.mjs';

const SERVICE = process.env.MOQRELAY_PROCESSOR ?? fileURLToPath(new URL('../../target/debug/examples/gate', import.meta.url));
const HZ = 700;
const ROOM = '7810';
/** The machine may be very busy; the breaker's ten seconds are in it. */
const PATIENCE_MS = 60_000;

let daemon;
let service;
let phone;
let port;

before(async () => {
  assert.ok(existsSync(SERVICE), `${SERVICE} is missing: cargo build --package moqrelay-processor --example gate`);
  port = (await freePorts()).http;
  service = await startService();
  const toml = `[processor.gate]\nurl = "http://127.0.0.1:${port}"\ncalled = ["echo", "${ROOM}"]\ndeadline = "400ms"\n[[rooms.room]]\nname = "captions"\nnumber = "${ROOM}"\n`;
  daemon = await startDaemon({ toml });
});

after(async () => {
  phone?.end();
  service?.kill('SIGKILL');
  const status = await daemon?.stop();
  if (daemon !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
});

test('a call outlives its media processor', async (context) => {
  phone = await callByTicket(daemon, { to: 'echo', hz: HZ });
  const answered = () => count('moqrelay_processor_frames_total{processor="gate",result="answered"}');
  await until(async () => (await answered()) > 50, { what: 'answers of the service', ms: PATIENCE_MS });
  await until(() => phone.level() > 1_000, { what: 'the echo of what it answered', ms: PATIENCE_MS });

  const heard = phone.frames;
  service.kill('SIGKILL');
  const killed = Date.now();
  await until(async () => (await count('moqrelay_processor_legs{processor="gate",breaker="open"}')) === 1, { what: 'the breaker to open', ms: PATIENCE_MS });
  context.diagnostic(`open ${Date.now() - killed} ms after the kill`);
  assert.ok(phone.level() > 1_000, 'the caller hears the echo of his own sound');

  service = await startService();
  const before = await answered();
  await until(async () => (await answered()) > before + 50, { what: 'the service to be used again', ms: PATIENCE_MS });
  context.diagnostic(`used again ${Date.now() - killed} ms after the kill`);
  assert.equal(await count('moqrelay_processor_legs{processor="gate",breaker="closed"}'), 1);
  assert.ok(phone.open && phone.frames > heard, 'the call goes on');
});

test('a room reads what a telephone in it says', async () => {
  const browser = await launchChromium({ hz: 440 });
  try {
    const page = await browser.phone({ url: daemon.url });
    await page.signIn('Anna');
    const anna = new WebRoom(page);
    await anna.enter('captions');
    const speaker = await callByTicket(daemon, { to: ROOM, hz: HZ });
    await anna.tile('p2', { kind: 'telephone', speaking: true });

    speaker.silent = true;

    await page.wait('what the telephone said', () => /^\S+ \(speech, \d+\.\d s\)$/.test(document.querySelector('[data-testid="caption"][data-participant="p2"]')?.textContent ?? ''), null, PATIENCE_MS);
    speaker.end();
  } finally {
    await browser.close();
  }
});

/** Starts the example; resolves when it listens. */
async function startService() {
  const child = spawn(SERVICE, [`127.0.0.1:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => line.startsWith('listens on') && resolve());
    child.once('exit', (code) => reject(new Error(`the service ended with ${code}`)));
  });
  return child;
}

/** The value of a line of the metrics; 0 when there is none yet. */
async function count(line) {
  const found = (await daemon.metrics()).split('\n').find((text) => text.startsWith(line));
  return found === undefined ? 0 : Number(found.split(' ').at(-1));
}
