// Starts a real Asterisk and SIP telephones for tests, on free ports of 127.0.0.1.
// Node 20 or newer, no packages. Needs root (mounts of its own, chroot) and the tree that
// `rootfs` makes. Whatever was started ends with stop(), or at the latest with this process.
//
//   const asterisk = await startAsterisk({ audiosocket: '127.0.0.1:9092', api: 'http://127.0.0.1:8080' });
//   const phone = await startPhone({ asterisk, name: 'alice', hz: 700 });
//   await phone.dial('600');
//   await phone.established();
//   ...
//   await phone.hangUp();
//   console.log(peak(phone.heard));          // { hz: 700.2, level: 11775, seconds: 4 }
//   await phone.stop();
//   await asterisk.stop();
//
// From the shell: `node harness.mjs selftest` calls 600 and checks the tone that comes back,
// `node harness.mjs peak FILE` prints the loudest tone of a WAV file.

import { spawn, execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const START_MS = 60_000;
const STOP_MS = 10_000;
const EVENT_MS = 10_000;
const RESUME_MS = 300;
// Enough of a program's output to explain a failure.
const LOG_CHARS_MAX = 4_000_000;

// What a lamp asks for, how SIPp finds it (POSIX) in an answer, and how it stands in SIPp's log.
const LAMPS = {
  extension: { event: 'dialog', accept: 'application/dialog-info+xml', pattern: '&lt;state&gt;[a-z]+', told: /lamp <state>([a-z]+)/g },
  messages: { event: 'message-summary', accept: 'application/simple-message-summary', pattern: 'Messages-Waiting: *[a-z]+', told: /lamp Messages-Waiting: *([a-z]+)/g },
};

const running = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * Makes the tree if it is missing (a few minutes the first time) and returns its folder.
 */
export async function makeTree() {
  const { stdout } = await promisify(execFile)(join(here, 'rootfs'), [], { maxBuffer: 1 << 24 });
  return stdout.trim();
}

/**
 * Starts Asterisk and waits until it is ready.
 *
 * @param {object} [options]
 * @param {string} [options.audiosocket] moqrelay's AudioSocket, `HOST:PORT`
 * @param {string} [options.websocket] moqrelay's media WebSocket, `HOST:PORT`
 * @param {string} [options.ca] a PEM file with whose certificate that is believed by TLS
 * @param {string} [options.api] moqrelay's HTTP API, `http://HOST:PORT`
 * @param {string} [options.secret] `[asterisk] secret` of moqrelay
 * @param {string} [options.ariPassword] `[asterisk.ari] password` of moqrelay
 * @param {string} [options.snippets] a folder with other snippets, which say all of the above
 *   themselves; `options.ports.http` must be theirs
 * @param {string} [options.fixedUuid] the UUID that 7900 connects with
 * @param {{port: number}} [options.provider] what `startProvider` returned: Asterisk registers there, and has AMI
 * @param {{sip?: number, http?: number, trunk?: number}} [options.ports] free ones unless given
 * @returns a handle: `ports`, `ari` (`url`, `user`, `password`), `secret`, `state` (folder),
 *   `pid`, `log()`, `logged(pattern, ms)`, `cli(command)`, `stop()`, `restart()`,
 *   `kill()` and `startAgain()`
 */
export async function startAsterisk(options = {}) {
  const ports = {
    sip: options.ports?.sip ?? (await freePort('udp')),
    http: options.ports?.http ?? (await freePort('tcp')),
    trunk: options.ports?.trunk ?? (await freePort('udp')),
    ...(options.provider ? { ami: await freePort('tcp') } : {}),
  };
  const secret = options.secret ?? 'moqrelay-test-secret';
  const ariPassword = options.ariPassword ?? 'moqrelay-test-password';
  const state = folder('asterisk');
  const env = {
    PORT_SIP: `${ports.sip}`,
    PORT_HTTP: `${ports.http}`,
    PORT_TRUNK: `${ports.trunk}`,
    AUDIOSOCKET: options.audiosocket ?? '127.0.0.1:9092',
    WEBSOCKET: options.websocket ?? '127.0.0.1:9093',
    ...(options.ca ? { CA: options.ca } : {}),
    API: options.api ?? 'http://127.0.0.1:8080',
    SECRET: secret,
    ARI_PASSWORD: ariPassword,
    ...(options.provider ? { PORT_PROVIDER: `${options.provider.port}`, PORT_AMI: `${ports.ami}` } : {}),
    ...(options.snippets ? { SNIPPETS: options.snippets } : {}),
    ...(options.fixedUuid ? { FIXED_UUID: options.fixedUuid } : {}),
  };
  let program;
  const start = async () => {
    program = launch('run', [state], env);
    await program.logged(/Asterisk Ready/, START_MS);
    const fault = /ERROR.*(Unable to bind|could not be started|Error loading module).*/.exec(program.log());
    if (fault) {
      await program.stop();
      throw new Error(`Asterisk did not start properly: ${fault[0]}`);
    }
  };
  await start();
  return {
    ports,
    secret,
    state,
    ari: { url: `http://127.0.0.1:${ports.http}/ari`, user: 'moqrelay', password: ariPassword },
    get pid() {
      return program.pid;
    },
    log: () => program.log(),
    logged: (pattern, ms = EVENT_MS) => program.logged(pattern, ms),
    async cli(command) {
      const { stdout } = await promisify(execFile)(join(here, 'cli'), [state, command]);
      return stdout;
    },
    async restart() {
      await program.stop();
      await start();
    },
    /** Ends it at once, without a good-bye to anybody. */
    kill: () => program.kill(),
    /** Starts it again on the same ports, after kill(). */
    startAgain: start,
    async stop() {
      await program.stop();
      remove(state);
    },
  };
}

/**
 * Starts a telephone provider (Kamailio) on 127.0.0.2: what is not Asterisk is registered there, and Asterisk is too.
 *
 * @param {{port?: number}} [options] a free port unless given
 * @returns a handle: `port`, `world` (for `startPhone` in the place of `asterisk`), `log()`, `logged(pattern, ms)`,
 *   `stop()`, `start()` on the same port
 */
export async function startProvider({ port: wanted } = {}) {
  const port = wanted ?? (await freePort('udp'));
  const state = folder('provider');
  let program;
  const start = async () => {
    program = launch('provider/run', [state], { PORT_PROVIDER: `${port}` });
    await program.logged(/provider: ready/, START_MS);
  };
  await start();
  return {
    port,
    world: { ports: { sip: port }, host: '127.0.0.2' },
    log: () => program.log(),
    logged: (pattern, ms = EVENT_MS) => program.logged(pattern, ms),
    start,
    stop: () => program.stop(),
  };
}

/**
 * Starts a telephone and waits until it is registered.
 *
 * @param {object} options
 * @param {{ports: {sip: number}, host?: string}} options.asterisk what `startAsterisk` returned, or a provider's `world`
 * @param {string} [options.name] alice is 1001, bob is 1002; at a provider the number
 * @param {number} [options.hz] the tone it says, 10 to 20000
 * @param {'manual'|'auto'} [options.answer] whether it answers by itself
 * @param {string} [options.codecs] in order of preference, as baresip writes them
 * @returns a handle: `dial(number)`, `answer()`, `hangUp()`, `dtmf(digits)`, `hold()`, `resume()`,
 *   `command(name, params)`, `next(type, ms)`, `ringing()`, `incoming()`, `established()`,
 *   `closed()`, `events` (all so far), `heard` (WAV file of what it hears, complete after the
 *   call), `log()`, `pid`, `stop()`
 */
export async function startPhone({ asterisk, name = 'alice', hz = 700, answer = 'manual', codecs }) {
  const port = await freePort('tcp');
  const state = folder(name);
  const host = asterisk.host ?? '127.0.0.1';
  const program = launch('phone', ['run', state, name], {
    HOST_SIP: host,
    PORT_SIP: `${asterisk.ports.sip}`,
    PORT_PHONE: `${port}`,
    HZ: `${hz}`,
    ANSWER: answer,
    ...(codecs ? { CODECS: codecs } : {}),
  });
  await program.logged(/200 OK/, START_MS);
  const line = await talk(port);
  const { command, next } = line;
  return {
    command,
    next,
    state,
    heard: join(state, 'heard.wav'),
    events: line.events,
    log: program.log,
    pid: program.pid,
    /** Calls a number; events from before are passed over by what waits for events. */
    dial(number) {
      line.forget();
      return command('dial', `sip:${number}@${host}:${asterisk.ports.sip}`);
    },
    answer: () => command('accept'),
    hangUp: () => command('hangup'),
    /** Holds the call and waits until that is confirmed: baresip does not resume before. */
    async hold() {
      line.forget();
      await command('hold');
      await next('CALL_REMOTE_SDP');
    },
    // baresip resumes, but reports an error or nothing at all.
    resume: () => command('resume').catch(() => {}),
    async dtmf(digits) {
      for (const digit of digits) {
        await command('sndcode', digit);
        // baresip sends a digit's events for a while; the next must not run into them.
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    },
    /** Waits for 180 Ringing. */
    ringing: (ms) => next('CALL_RINGING', ms),
    /** Waits for a call to this telephone. */
    incoming: (ms) => next('CALL_INCOMING', ms),
    /** Waits until the call is answered, by either side. */
    established: (ms) => next('CALL_ESTABLISHED', ms),
    /** Waits for the call's end; `param` of what it returns says why, for example "486 Busy Here". */
    closed: (ms) => next('CALL_CLOSED', ms),
    async stop() {
      line.close();
      await program.stop();
      remove(state);
    },
  };
}

/**
 * Starts a telephone with a lamp (sipp) that watches an extension as bob, or bob's mailbox.
 *
 * @param {object} options
 * @param {{ports: {sip: number}}} options.asterisk what `startAsterisk` returned
 * @param {string} options.number the extension; `bob` for the mailbox
 * @param {'extension'|'messages'} [options.of] what it watches
 * @returns a handle: `shows(state)` waits until the last it was told is `terminated` (dark), `early` (blinks) or
 *   `confirmed` (lit), of a mailbox `no` or `yes`; `states()` (all so far), `stop()`
 */
export async function startLamp({ asterisk, number, of = 'extension' }) {
  const state = folder('lamp');
  const port = await freePort('udp');
  const scenario = readFileSync(join(here, 'sipp', 'lamp.xml'), 'utf8');
  const { event, accept, pattern, told } = LAMPS[of];
  writeFileSync(join(state, 'lamp.xml'), scenario.replaceAll('EVENT', event).replaceAll('ACCEPT', accept).replaceAll('PATTERN', pattern));
  const files = ['-sf', '/asterisk-state/lamp.xml', '-trace_logs', '-log_file', '/asterisk-state/lamp.log'];
  const where = ['-i', '127.0.0.1', '-p', `${port}`, '-s', number, '-m', '1', '-nostdin', `127.0.0.1:${asterisk.ports.sip}`];
  const program = launch('inside', [state, '/usr/bin/sipp', ...files, ...where], { TERM: 'dumb' });
  const states = () => {
    const log = join(state, 'lamp.log');
    const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
    return [...text.matchAll(told)].map(([, word]) => word);
  };
  return {
    states,
    async shows(wanted, ms = EVENT_MS) {
      const fault = () => `the lamp shows ${states().join(', ') || 'nothing'} instead of ${wanted}:\n${program.log().slice(-1500)}`;
      await until(() => states().at(-1) === wanted, ms, fault);
    },
    async stop() {
      await program.stop();
      remove(state);
    },
  };
}

/**
 * Starts a telephone (sipp) that calls two numbers as bob and transfers the first to the second after a word, by REFER with
 * Replaces. Whom it calls hears itself.
 *
 * @param {object} options
 * @param {{ports: {sip: number}}} options.asterisk what `startAsterisk` returned
 * @param {string} options.first whom it calls first and transfers
 * @param {string} options.second to whom
 * @param {boolean} [options.wrong] it names a call that nobody knows
 * @returns a handle: `up()` waits until both calls are up, `told(status)` until it was told that of the transfer,
 *   `over()` until both calls have ended, `log()`, `stop()`
 */
export async function startTransfer({ asterisk, first, second, wrong = false }) {
  const state = folder('transfer');
  const [port, media] = [await freePort('udp'), await freePort('udp')];
  const scenario = readFileSync(join(here, 'sipp', 'transfer.xml'), 'utf8');
  writeFileSync(join(state, 'transfer.xml'), scenario.replaceAll('REPLACED', wrong ? 'nobody' : '2%2F%2F%2F[call_id]'));
  const files = ['-sf', '/asterisk-state/transfer.xml', '-trace_logs', '-log_file', '/asterisk-state/transfer.log', '-trace_err', '-error_file', '/asterisk-state/error.log'];
  const where = ['-i', '127.0.0.1', '-p', `${port}`, '-mi', '127.0.0.1', '-min_rtp_port', `${media}`, '-max_rtp_port', `${media + 2}`, '-rtp_echo'];
  const what = ['-key', 'first', first, '-key', 'second', second, '-cid_str', 'transfer-%u-%p', '-m', '1', '-default_behaviors', 'all,-abortunexp,-bye', '-nostdin', `127.0.0.1:${asterisk.ports.sip}`];
  const program = launch('inside', [state, '/usr/bin/sipp', ...files, ...where, ...what], { TERM: 'dumb' });
  const read = (name) => (existsSync(join(state, name)) ? readFileSync(join(state, name), 'utf8') : '');
  const logged = async (wanted, ms = EVENT_MS) => {
    const fault = () => `no ${wanted} of the transfer in ${ms} ms, but ${read('transfer.log')}${read('error.log').slice(-1500)}${program.log().slice(-1500)}`;
    await until(() => wanted.test(read('transfer.log') + read('error.log')), ms, fault);
  };
  return {
    log: program.log,
    up: (ms) => logged(/transfer both are up/, ms),
    // What comes while SIPp answers an earlier one is among its errors.
    told: (status, ms) => logged(new RegExp(`(transfer status |received 'NOTIFY[^']*)SIP/2.0 ${status}`), ms),
    // Asterisk is asked: a BYE that comes while SIPp answers a NOTIFY is lost on it.
    async over(ms = EVENT_MS) {
      let channels;
      const gone = async () => {
        channels = await asterisk.cli('core show channels concise');
        return !/^PJSIP\/bob-/m.test(channels);
      };
      await until(gone, ms, () => `the telephone still has calls after ${ms} ms:\n${channels}${read('transfer.log')}${read('error.log').slice(-1500)}`);
    },
    async stop() {
      await program.stop();
      remove(state);
    },
  };
}

/**
 * Finds the loudest tone of the second half of a WAV file (16 bit, mono), where set-up and jitter
 * buffers no longer count. `level` is the RMS of what was examined, 32767 the most.
 *
 * @param {string} file
 * @param {{from?: number, seconds?: number}} [part] another part of the file, in seconds
 * @returns {{hz: number, level: number, seconds: number}}
 */
export function peak(file, part = {}) {
  const { rate, samples } = readWav(file);
  const seconds = samples.length / rate;
  const first = Math.floor(part.from !== undefined ? part.from * rate : samples.length / 2);
  const length = part.seconds !== undefined ? Math.floor(part.seconds * rate) : samples.length;
  return { ...peakOf(samples.subarray(first, first + length), rate), seconds };
}

/**
 * Finds the loudest tone of samples: the largest bin of a spectrum of at most 32768 points, made
 * finer by a parabola through its neighbours.
 *
 * @param {Int16Array} samples
 * @param {number} rate samples a second
 */
export function peakOf(samples, rate) {
  let size = 1 << 15;
  while (size > samples.length) size >>= 1;
  if (size < 256) return { hz: 0, level: 0 };
  const tail = samples.subarray(samples.length - size);
  const level = Math.sqrt(tail.reduce((sum, s) => sum + s * s, 0) / size);
  const re = Float64Array.from(tail, (s, i) => s * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size)));
  const im = new Float64Array(size);
  transform(re, im);
  const power = (k) => Math.log(re[k] ** 2 + im[k] ** 2 + 1e-9);
  let best = 2;
  for (let k = 3; k < size / 2 - 1; k++) if (power(k) > power(best)) best = k;
  const [a, b, c] = [power(best - 1), power(best), power(best + 1)];
  const bend = a - 2 * b + c;
  const shift = bend === 0 ? 0 : (a - c) / (2 * bend);
  return { hz: Math.round(((best + shift) * rate * 10) / size) / 10, level: Math.round(level) };
}

/** Reads a WAV file of 16 bit mono, also one whose length fields were never filled in. */
export function readWav(file) {
  const bytes = readFileSync(file);
  if (bytes.length < 44 || bytes.toString('latin1', 0, 4) !== 'RIFF') return { rate: 48000, samples: new Int16Array() };
  let rate = 48000;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString('latin1', at, at + 4);
    const length = bytes.readUInt32LE(at + 4);
    if (id === 'fmt ') rate = bytes.readUInt32LE(at + 12);
    if (id === 'data') {
      const end = length === 0 ? bytes.length : Math.min(bytes.length, at + 8 + length);
      const samples = new Int16Array((end - at - 8) >> 1);
      for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(at + 8 + 2 * i);
      return { rate, samples };
    }
    at += 8 + length + (length & 1);
  }
  return { rate, samples: new Int16Array() };
}

/** A port that is free now. It may be taken before it is used: start again then. */
export function freePort(kind) {
  return new Promise((resolve, reject) => {
    if (kind === 'udp') {
      const socket = createSocket('udp4');
      socket.once('error', reject);
      socket.bind(0, '127.0.0.1', () => {
        const { port } = socket.address();
        socket.close(() => resolve(port));
      });
    } else {
      const server = createServer();
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address();
        server.close(() => resolve(port));
      });
    }
  });
}

async function until(ask, ms, fault) {
  const deadline = Date.now() + ms;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(fault());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function folder(name) {
  const made = mkdtempSync(join(tmpdir(), `moqrelay-${name}-`));
  folders.add(made);
  return made;
}

function remove(made) {
  rmSync(made, { recursive: true, force: true });
  folders.delete(made);
}

// Runs one of the scripts beside this file.
function launch(script, args, env) {
  const child = spawn(join(here, script), args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let text = '';
  let over = false;
  const waiting = new Set();
  const wake = () => waiting.forEach((check) => check());
  const take = (chunk) => {
    text = (text + chunk).slice(-LOG_CHARS_MAX);
    wake();
  };
  child.stdout.setEncoding('utf8').on('data', take);
  child.stderr.setEncoding('utf8').on('data', take);
  const ended = new Promise((resolve) => {
    child.once('error', (error) => {
      take(`${error}\n`);
      over = true;
      wake();
      resolve();
    });
    child.once('close', () => {
      over = true;
      running.delete(child);
      wake();
      resolve();
    });
  });
  return {
    pid: child.pid,
    log: () => text,
    logged(pattern, ms) {
      return new Promise((resolve, reject) => {
        const finish = (act, value) => {
          clearTimeout(timer);
          waiting.delete(check);
          act(value);
        };
        const fail = (why) => finish(reject, new Error(`${script}: ${why} before ${pattern}; its output ends:\n${text.slice(-2000)}`));
        const check = () => {
          const found = pattern.exec(text);
          if (found) finish(resolve, found);
          else if (over) fail('ended');
        };
        const timer = setTimeout(() => fail(`${ms} ms passed`), ms);
        waiting.add(check);
        check();
      });
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async stop() {
      if (over) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

// The telephone's control port: netstrings of JSON.
async function talk(port) {
  const socket = connect(port, '127.0.0.1');
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const events = [];
  const answers = new Map();
  const waiting = new Set();
  let taken = 0;
  let commands = 0;
  let rest = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const colon = rest.indexOf(':');
      if (colon < 0) return;
      const end = colon + 1 + Number(rest.toString('latin1', 0, colon));
      if (rest.length <= end) return;
      const message = JSON.parse(rest.toString('utf8', colon + 1, end));
      rest = rest.subarray(end + 1);
      if (message.response) answers.get(message.token)?.(message);
      else events.push(message);
      waiting.forEach((check) => check());
    }
  });
  return {
    events,
    close: () => socket.destroy(),
    forget() {
      taken = events.length;
    },
    command(name, params = '') {
      const token = `${++commands}`;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          answers.delete(token);
          reject(new Error(`phone: no answer to ${name}`));
        }, name === 'resume' ? RESUME_MS : EVENT_MS);
        answers.set(token, (answer) => {
          clearTimeout(timer);
          answers.delete(token);
          if (answer.ok) resolve(answer.data);
          else reject(new Error(`phone: ${name} ${params}: ${answer.data.trim()}`));
        });
        const text = JSON.stringify({ command: name, params, token });
        socket.write(`${Buffer.byteLength(text)}:${text},`);
      });
    },
    // The next event of that type that was not yet returned; older ones are passed over.
    next(type, ms = EVENT_MS) {
      return new Promise((resolve, reject) => {
        const finish = (act, value) => {
          clearTimeout(timer);
          waiting.delete(check);
          act(value);
        };
        const check = () => {
          const at = events.findIndex((event, index) => index >= taken && event.type === type);
          if (at < 0) return;
          taken = at + 1;
          finish(resolve, events[at]);
        };
        const timer = setTimeout(() => {
          const seen = events.slice(taken).map((event) => event.type);
          finish(reject, new Error(`phone: no ${type} in ${ms} ms, but ${seen.join(', ') || 'nothing'}`));
        }, ms);
        waiting.add(check);
        check();
      });
    },
  };
}

// Fast Fourier transform in place; the length is a power of two.
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j |= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let half = 1; half < n; half *= 2) {
    for (let k = 0; k < half; k++) {
      const wr = Math.cos((Math.PI * k) / half);
      const wi = -Math.sin((Math.PI * k) / half);
      for (let i = k; i < n; i += 2 * half) {
        const j = i + half;
        const xr = re[j] * wr - im[j] * wi;
        const xi = re[j] * wi + im[j] * wr;
        re[j] = re[i] - xr;
        im[j] = im[i] - xi;
        re[i] += xr;
        im[i] += xi;
      }
    }
  }
}

async function selftest() {
  const asterisk = await startAsterisk();
  const phone = await startPhone({ asterisk, hz: 700 });
  try {
    await phone.dial('600');
    await phone.established();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await phone.hangUp();
    const echo = peak(phone.heard);
    console.log(`600 echo: ${echo.hz} Hz, level ${echo.level}, ${echo.seconds.toFixed(1)} s`);
    if (Math.abs(echo.hz - 700) > 2 || echo.level < 1000) throw new Error('the echo is not what was said');
    await phone.dial('606');
    await phone.ringing();
    await phone.hangUp();
    await phone.dial('605');
    console.log(`605 busy: ${(await phone.closed()).param}`);
  } finally {
    await phone.stop();
    await asterisk.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, file] = process.argv.slice(2);
  if (command === 'selftest') await selftest();
  else if (command === 'peak' && file) console.log(peak(file));
  else {
    console.error('usage: node harness.mjs selftest | peak FILE');
    process.exit(2);
  }
}
