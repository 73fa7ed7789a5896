// The client matrix: programs and libraries of other makers against the daemon. Called by `make interop`.
//
//   node webapp/e2e/interop.mjs [--only WORD]
//
// $MOQRELAY_INTEROP is the folder with the foreign programs (deploy/dev/foreign makes it), $MOQRELAY_BIN the daemon.
import { fileURLToPath } from 'node:url';
import { startDaemon } from './lib/daemon.mjs';
import { openPage, verify } from './interop/moq-net.mjs';
import { clock, media, moqDev } from './interop/media.mjs';
import { cases } from './interop/tap.mjs';

const FOLDER = process.env.MOQRELAY_INTEROP;
if (FOLDER === undefined) throw new Error('MOQRELAY_INTEROP is not set: run deploy/dev/interop');
const BIN = `${FOLDER}/bin`;
const AIOMOQT = `${FOLDER}/aiomoqt-0.5.3`;
const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));

/** Tests that run elsewhere: named, so that the table is whole. */
const ELSEWHERE = [
  ['our web phone', 'WebSocket', '18', 'Chromium, UDP blocked', 'webapp/e2e/fallback.test.mjs'],
  ['our web phone', 'WebTransport', '18', 'Chromium', 'webapp/e2e/browsers.test.mjs'],
  ['our web phone', 'WebTransport', '18', 'Firefox', 'webapp/e2e/firefox.test.mjs'],
  ['moq-transport 0.17.0', 'both', '18', 'sessions, objects, FETCH', 'crates/relay/tests/foreign.rs'],
];

const only = process.argv[2] === '--only' ? process.argv[3] : undefined;
let passed = 0;
let failed = 0;

console.log(line('client', 'transport', 'draft', 'case', 'result'));
const daemon = await startDaemon({ open: true });
const spoken = (await daemon.transport()).drafts.map((draft) => (draft === 'moq-00' ? '14' : /\d+$/.exec(draft)?.[0]));
const unspoken = new Set();
try {
  await matrix();
} finally {
  await daemon.stop();
}
console.log();
for (const [client, via, draft, what, where] of ELSEWHERE) console.log(line(client, via, draft, what, `in ${where}`));
if (unspoken.size > 0) console.log(`\nnot run, because the daemon does not speak it: draft ${[...unspoken].join(', ')}`);
console.log();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function matrix() {
  const { moq } = daemon.ports;
  const https = `https://127.0.0.1:${moq}/moq`;
  const moqt = `moqt://127.0.0.1:${moq}/moq`;

  for (const [via, url] of [['WebTransport', https], ['raw QUIC', moqt]]) {
    await tap('moq-test-client 0.2.0', via, '18', `${BIN}/moq-test-client`, ['--relay', url, '--tls-disable-verify'], 18);
  }
  for (const [via, url] of [['WebTransport', https], ['raw QUIC', moqt]]) {
    await row('moq-pub 0.10.0, moq-sub 0.5.0', via, '18', 'media arrives whole', () => media({ url, bin: BIN, name: `media-${via.length}` }));
    await row('moq-clock-ietf 0.6.25', via, '18', 'seconds arrive', () => clock({ url, bin: BIN, name: `clock-${via.length}` }));
  }
  for (const [via, url] of [['WebTransport', https], ['raw QUIC', moqt]]) {
    for (const draft of ['18', '16', '14']) {
      const name = `moq-${via.length}-${draft}`;
      const version = `moq-transport-${draft}`;
      await row('moq-cli 0.14.10', via, draft, 'media arrives whole', () => moqDev({ url, bin: BIN, name, version }));
    }
  }
  // Its WebTransport names the protocol and the settings in the way of old drafts, which no present library reads.
  const aiomoqt = ['-m', 'aiomoqt.examples.moq_interop_client', '--relay', moqt, '--tls-disable-verify'];
  await tap('aiomoqt 0.5.3', 'raw QUIC', '14', `${AIOMOQT}/bin/python`, aiomoqt, 6);
  const page = await openPage(MODULES);
  try {
    const hash = (await daemon.transport()).certificate_hashes[0].value;
    const url = https;
    const talk = async (options, wanted) => verify(await page.talk({ url, hash, ...options }), wanted);
    const offers = [
      ['default offer', undefined, '18'],
      ['pinned', ['moqt-18'], '18'],
      ['pinned', ['moqt-16'], '16'],
    ];
    for (const [what, protocols, draft] of offers) {
      const path = `interop/${what.replace(' ', '-')}-${draft}`;
      await row('@moq/net 0.3.4, Chromium', 'WebTransport', draft, what, () => talk({ path, protocols }, { version: new RegExp(draft) }));
    }
    const websocket = `ws://127.0.0.1:${daemon.ports.http}/moq`;
    const path = 'interop/websocket';
    await row('@moq/net 0.3.4, Chromium', 'WebSocket', '18', 'no WebTransport', () => talk({ path, websocket }, { version: /18/ }));
  } finally {
    await page.close();
  }
}

/** A program that runs cases of its own. */
async function tap(client, via, draft, file, args, expected, env) {
  if (!wanted(client, via, draft)) return;
  for (const { what, failure } of await cases(file, args, { expected, env })) report(client, via, draft, what, failure);
}

async function row(client, via, draft, what, body) {
  if (!wanted(client, via, draft)) return;
  let failure;
  try {
    await body();
  } catch (error) {
    failure = String(error.message ?? error).split('\n')[0];
  }
  report(client, via, draft, what, failure);
}

function report(client, via, draft, what, failure) {
  if (failure === undefined) passed += 1;
  else failed += 1;
  console.log(line(client, via, draft, what, failure === undefined ? 'ok' : `FAILED ${failure}`));
}

function wanted(client, via, draft) {
  if (!spoken.includes(draft)) {
    unspoken.add(draft);
    return false;
  }
  return only === undefined || `${client} ${via}`.includes(only);
}

function line(client, via, draft, what, result) {
  return `${client.padEnd(30)} ${via.padEnd(13)} ${draft.padEnd(6)} ${what.padEnd(44)} ${result}`;
}
