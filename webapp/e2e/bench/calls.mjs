// Many calls through ARI: how long until each is up, and whether all come to be.
import { WebSocket } from 'ws';
import { startAsterisk } from '../../../deploy/asterisk/harness.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from '../lib/daemon.mjs';
import { until } from '../lib/wait.mjs';
import { requireTree, withAri } from './asterisk.mjs';
import { percentile } from './page.mjs';

/** Answers at once: what is measured is ours, and Asterisk's making of two channels. */
const NUMBER = '600';
const P95_MS_MAX = 150;
const CALLS_PER_SECOND = 20;
const TALK_MS = 2_000;
/** Each has one call at a time: enough for all to talk, and some to be late. */
const CALLERS = 60;
/** A call that is not up by then has failed. */
const UP_MS_MAX = 5_000;
/** Before those that count: Asterisk has loaded everything then. */
const REHEARSALS = 5;

export const callRate = {
  rows: [
    {
      what: 'call set-up through ARI',
      goal: 'p95 ≤ 150 ms',
      method:
        `A real Asterisk 22; ${CALLS_PER_SECOND} calls a second of ${TALK_MS / 1000} s each to an extension that answers at once, by ${CALLERS} users ` +
        'without media of their own; from the request on the signaling socket to the event that the call is up: two channels, a bridge and ' +
        'an AudioSocket connection have been made then.',
    },
    { what: `${CALLS_PER_SECOND} calls a second`, goal: 'none fails', method: 'Same run. At its end no channel is left in Asterisk and no leg in ours.' },
  ],
  async run({ callSeconds }) {
    requireTree();
    const ports = await freePorts();
    const asterisk = await startAsterisk({
      audiosocket: `127.0.0.1:${ports.audiosocket}`,
      api: `http://127.0.0.1:${ports.http}`,
      secret: ASTERISK_SECRET,
    });
    let daemon;
    let callers = [];
    try {
      daemon = await startDaemon({ ports, toml: withAri(asterisk) });
      await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
      const open = (_, n) => openCaller(daemon, `caller${n}`);
      callers = await Promise.all(Array.from({ length: CALLERS }, open));
      for (let n = 0; n < REHEARSALS; n += 1) await (await callers[n].call()).end();
      const { took, failed, seconds } = await run(callers, callSeconds);
      await until(async () => /^0 active channels/m.test(await asterisk.cli('core show channels')), { what: 'Asterisk to have no channel', ms: 10_000 });
      await until(async () => /^moqrelay_bridge_legs 0$/m.test(await daemon.metrics()), { what: 'the daemon to have no leg', ms: 10_000 });
      const [p50, p95, most] = [0.5, 0.95, 1].map((part) => percentile(took, part).toFixed(0));
      const causes = failed.length === 0 ? '' : ` (${[...new Set(failed)].join(', ')})`;
      return [
        { figures: `p50 ${p50} ms, p95 ${p95} ms, max ${most} ms (${took.length} calls)`, verdict: percentile(took, 0.95) <= P95_MS_MAX ? 'met' : 'missed' },
        {
          figures: `${took.length + failed.length} calls in ${seconds.toFixed(1)} s, ${failed.length} failed${causes}`,
          verdict: failed.length === 0 ? 'met' : 'missed',
        },
      ];
    } finally {
      for (const caller of callers) caller.close();
      await daemon?.stop();
      await asterisk.stop();
    }
  },
};

/** Begins calls at their times, whatever became of those before. */
async function run(callers, seconds) {
  const idle = [...callers];
  const took = [];
  const failed = [];
  const calls = [];
  const began = performance.now();
  const one = async (caller) => {
    try {
      const call = await caller.call();
      took.push(call.ms);
      await pause(TALK_MS);
      await call.end();
      idle.push(caller);
    } catch (error) {
      failed.push(error.message);
      idle.push(caller);
    }
  };
  for (let n = 0; n < seconds * CALLS_PER_SECOND; n += 1) {
    await pause(began + (n * 1000) / CALLS_PER_SECOND - performance.now());
    const caller = idle.shift();
    if (caller === undefined) failed.push('no caller was free');
    else calls.push(one(caller));
  }
  const lasted = (performance.now() - began) / 1000;
  await Promise.all(calls);
  return { took, failed, seconds: lasted };
}

/** A user's device as far as signaling goes. */
async function openCaller(daemon, id) {
  const socket = new WebSocket(`${daemon.url.replace('http', 'ws')}api/v1/signal`, 'moqrelay.v1');
  const waiting = new Map();
  let last = 0;
  let gone = 'the socket closed';
  let watch = () => {};
  const ask = (request) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      socket.send(JSON.stringify({ ...request, id: last }));
    });
  socket.on('message', (text) => {
    const message = JSON.parse(text);
    if (message.type === 'ping') socket.send('{"type":"pong"}');
    else if (message.type === 'ok') waiting.get(message.id)?.resolve(message);
    else if (message.type === 'refused') waiting.get(message.id)?.reject(new Error(`refused: ${message.code}`));
    else if (message.call !== undefined) watch(message);
    if (message.type === 'ok' || message.type === 'refused') waiting.delete(message.id);
  });
  socket.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error(gone));
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  await ask({ type: 'register', token: daemon.token({ id }) });
  return {
    /** Calls the number; returns when it is up. */
    async call() {
      let settle;
      const events = new Promise((resolve, reject) => {
        settle = { resolve, reject };
      });
      let over;
      const ended = new Promise((resolve) => {
        over = resolve;
      });
      const deadline = setTimeout(() => settle.reject(new Error(`not up after ${UP_MS_MAX} ms`)), UP_MS_MAX);
      watch = ({ type, cause }) => {
        if (type === 'up') settle.resolve(performance.now());
        if (type === 'ended') {
          settle.reject(new Error(`ended: ${cause}`));
          over();
        }
      };
      const at = performance.now();
      try {
        const [{ call }, up] = await Promise.all([ask({ type: 'call', to: NUMBER }), events]);
        return {
          ms: up - at,
          async end() {
            await ask({ type: 'hangup', call });
            await ended;
          },
        };
      } finally {
        clearTimeout(deadline);
      }
    },
    close() {
      gone = 'closed';
      socket.close();
    },
  };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
