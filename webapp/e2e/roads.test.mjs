// Roads that need no ARI, from a real Asterisk: media WebSockets by TLS whose address says who calls whom, and tickets
// that outlive a take-over.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';
import { freePort, peak, startAsterisk, startPhone } from '../../deploy/asterisk/harness.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from './lib/daemon.mjs';
import { next, startDevice } from './lib/device.mjs';
import { until } from './lib/wait.mjs';

const TONE_HZ = 1004;
const TONE_MS = 2_500;
const PASSWORD = 'moqrelay-test-password';

const folder = mkdtempSync(join(tmpdir(), 'moqrelay-roads-'));
const olds = [];
let ports;
let asterisk;
let daemon;
let anna;
let alice;

/** A port that was free may be taken before it is used. */
const ATTEMPTS = 3;

before(async () => {
  const files = await makeCertificate();
  for (let attempt = 1; daemon === undefined; attempt += 1) {
    try {
      await start(files);
    } catch (error) {
      await asterisk?.stop();
      if (attempt === ATTEMPTS || !/cannot listen/.test(String(error))) throw error;
    }
  }
  anna = await startDevice({ daemon, id: 'anna', number: '7001' });
  alice = await startPhone({ asterisk, name: 'alice', hz: 700 });
});

async function start({ certificate, key }) {
  ports = { ...(await freePorts()), media: await freePort('tcp') };
  asterisk = await startAsterisk({
    audiosocket: `127.0.0.1:${ports.audiosocket}`,
    websocket: `127.0.0.1:${ports.media}`,
    ca: certificate,
    api: `http://127.0.0.1:${ports.http}`,
    secret: ASTERISK_SECRET,
    ariPassword: PASSWORD,
  });
  daemon = await startDaemon({
    ports,
    toml: `[tls]
certificate = "${certificate}"
key = "${key}"

[asterisk.websocket]
listen = "127.0.0.1:${ports.media}"
tls = true
user = "moqrelay"
password = "${PASSWORD}"
`,
  });
}

after(async () => {
  anna?.close();
  await alice?.stop();
  for (const old of olds) await old.stop();
  const status = await daemon?.stop();
  await asterisk?.stop();
  rmSync(folder, { recursive: true, force: true });
  if (daemon !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
});

afterEach(async (context) => {
  if (!context.passed && daemon !== undefined) {
    for (const { log } of [...olds, daemon, asterisk]) console.error(`${log().split('\n').slice(-40).join('\n')}\n--`);
  }
  await alice?.hangUp().catch(() => {});
});

test('by TLS, without a ticket: the browser sees who calls, and the telephone rings until it answers', async () => {
  const incoming = next(anna, (event) => event.type === 'incoming', { what: 'the call' });
  await alice.dial('7902');
  const { call, from } = await incoming;
  await alice.ringing();
  assert.deepEqual([from.number, from.name], ['1001', 'Alice']);
  assert.match(await asterisk.cli('core show channels'), /PJSIP\/alice-\w+ +7902@internal\S* +Ring /, 'the telephone is not answered');

  const up = next(anna, (event) => event.type === 'up', { what: 'the call to be up' });
  await anna.request('answer', { call });
  await Promise.all([up, alice.established()]);
  const pressed = next(anna, (event) => event.type === 'dtmf', { what: 'a key' });
  await alice.dtmf('5');
  assert.equal((await pressed).digit, '5');
  const ended = next(anna, (event) => event.type === 'ended', { what: 'the end' });
  await alice.hangUp();
  assert.equal((await ended).cause, 'normal');
  await goneFromAsterisk();
});

test('by TLS sound reaches the telephone', async () => {
  await alice.dial('7903');
  await alice.established();
  await new Promise((resolve) => setTimeout(resolve, TONE_MS));
  const closed = alice.closed();
  await alice.hangUp();
  await closed;

  const { hz, level } = peak(alice.heard);

  assert.ok(Math.abs(hz - TONE_HZ) <= 5 && level > 500, `the telephone heard ${hz} Hz at level ${level}`);
  await goneFromAsterisk();
});

test('a user who is not there lets the dialplan go on', async () => {
  await alice.dial('7904');

  await asterisk.logged(/DIALSTATUS=(CHANUNAVAIL|CONGESTION)/);
  await alice.closed();
  await goneFromAsterisk();
});

test('who does not speak TLS, or shows no password, is turned away and counted', async () => {
  const plain = await fetch(`http://127.0.0.1:${ports.media}/asterisk/media?to=7001`).catch((error) => error);
  assert.ok(plain instanceof Error, 'an answer without TLS');
  const refused = async (reason) => new RegExp(`connections_refused_total\\{reason="${reason}"\\} [1-9]`).test(await daemon.metrics());
  await until(() => refused('tls'), { what: 'the refusal to be counted' });
});

test('a ticket that one process gave is good in the next, whose browsers are there by then', async () => {
  const answer = await fetch(`${daemon.url}api/v1/asterisk/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ASTERISK_SECRET}` },
    body: new URLSearchParams({ to: '7001', from: '555', name: 'Before' }),
  });
  const ticket = await answer.text();
  assert.match(ticket, /^[0-9a-f-]{36}$/);

  olds.push(await daemon.takeOver());
  anna.close();
  anna = await startDevice({ daemon, id: 'anna', number: '7001' });
  const incoming = next(anna, (event) => event.type === 'incoming', { what: 'the call of the ticket' });
  await asterisk.cli(`channel originate AudioSocket/127.0.0.1:${ports.audiosocket}/${ticket}/c(slin16) extension 612@internal`);

  const { call, from } = await incoming;
  assert.deepEqual([from.number, from.name], ['555', 'Before']);
  const up = next(anna, (event) => event.type === 'up', { what: 'the call to be up' });
  await anna.request('answer', { call });
  await up;
  const ended = next(anna, (event) => event.type === 'ended', { what: 'the end' });
  await anna.request('hangup', { call });
  await ended;
  await goneFromAsterisk();
});

/** Returns files with a certificate for 127.0.0.1, signed by itself, and its key. */
async function makeCertificate() {
  const [certificate, key, config] = ['certificate.pem', 'key.pem', 'names.conf'].map((name) => join(folder, name));
  writeFileSync(config, '[req]\ndistinguished_name = name\nx509_extensions = more\nprompt = no\n[name]\nCN = 127.0.0.1\n[more]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:TRUE\n');
  const run = promisify(execFile);
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-config', config, '-keyout', key, '-out', certificate]);
  return { certificate, key };
}

async function goneFromAsterisk() {
  await until(async () => /^0 active channels/m.test(await asterisk.cli('core show channels')), { what: 'Asterisk to have no channels' });
}
