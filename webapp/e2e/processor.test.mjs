// A telephone calls the echo by way of a media processor, the example service, which is killed in mid-call: the call
// does not notice, the service is left alone, and found again when it is back.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ASTERISK_SECRET, freePorts, startDaemon } from './lib/daemon.mjs';
import { until } from './lib/wait.mjs';

const SERVICE = process.env.MOQRELAY_PROCESSOR ?? fileURLToPath(new URL('../../target/debug/examples/gate', import.meta.url));
const [ID, SOUND] = [0x01, 0x10];
const FRAME_SAMPLES = 160;
const FRAME_MS = 20;
const HZ = 700;
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
  const toml = `[processor.gate]\nurl = "http://127.0.0.1:${port}"\ncalled = ["echo"]\ndeadline = "400ms"\n`;
  daemon = await startDaemon({ toml });
});

after(async () => {
  phone?.end();
  service?.kill('SIGKILL');
  const status = await daemon?.stop();
  if (daemon !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
});

test('a call outlives its media processor', async (context) => {
  phone = await call();
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

/** Calls the echo by AudioSocket as a dialplan does; says a tone from then on. */
async function call() {
  const headers = { authorization: `Bearer ${ASTERISK_SECRET}` };
  const body = new URLSearchParams({ to: 'echo', from: '600' });
  const answer = await fetch(`${daemon.url}api/v1/asterisk/tickets`, { method: 'POST', headers, body });
  const uuid = await answer.text();
  assert.equal(answer.status, 200, uuid);
  const socket = connect(daemon.ports.audiosocket, '127.0.0.1');
  const state = { frames: 0, open: true, last: 0, level: () => state.last, end };
  socket.write(message(ID, Buffer.from(uuid.replaceAll('-', ''), 'hex')));
  let inbox = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    inbox = Buffer.concat([inbox, bytes]);
    while (inbox.length >= 3 && inbox.length >= 3 + inbox.readUInt16BE(1)) {
      const end = 3 + inbox.readUInt16BE(1);
      if (inbox[0] === SOUND) {
        state.frames += 1;
        state.last = rms(inbox.subarray(3, end));
      }
      inbox = inbox.subarray(end);
    }
  });
  socket.on('close', () => {
    state.open = false;
    clearInterval(timer);
  });
  const start = Date.now();
  let said = 0;
  const timer = setInterval(() => {
    for (; said * FRAME_MS <= Date.now() - start; said += 1) socket.write(message(SOUND, tone(said)));
  }, FRAME_MS);
  function end() {
    clearInterval(timer);
    socket.destroy();
  }
  return state;
}

function message(kind, payload) {
  const head = Buffer.alloc(3);
  head[0] = kind;
  head.writeUInt16BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

function tone(frame) {
  const bytes = Buffer.alloc(2 * FRAME_SAMPLES);
  for (let at = 0; at < FRAME_SAMPLES; at += 1) {
    const seconds = (frame * FRAME_SAMPLES + at) / 8_000;
    bytes.writeInt16LE(Math.round(8_000 * Math.sin(2 * Math.PI * HZ * seconds)), 2 * at);
  }
  return bytes;
}

function rms(bytes) {
  let sum = 0;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readInt16LE(at) ** 2;
  return Math.sqrt(sum / (bytes.length / 2));
}
