// How long a voice takes from the microphone to the bytes on AudioSocket, and from such bytes to the loudspeaker's worklet.
import { launchChromium } from '../lib/chromium.mjs';
import { ASTERISK_SECRET, startDaemon } from '../lib/daemon.mjs';
import { WebRoom } from '../lib/room.mjs';
import { until } from '../lib/wait.mjs';
import { writeBursts } from '../lib/wav.mjs';
import { now, startLeg } from './audiosocket.mjs';
import { clockOffset, frameTime, install, microphoneBursts, percentile, read } from './page.mjs';

/** In a room the sound is mixed for the telephone, and chosen for the browser. */
const LIMITS = { call: { p50: 90, p95: 140 }, room: { p50: 110, p95: 160 } };
const ROOM = { name: 'bench', number: '7810' };
/** Calls, of whose figures the median counts: one stall of the machine deepens the buffers of a whole call. */
const CALLS = 3;
/** Buffers find their depth; not counted. */
const WARM_UP_MS = 4_000;
/** Bursts come every half second or more: one that is later belongs to another one. */
const MATCH_MS = 450;
/** So many bursts of a call are the least that a percentile of 95 % is worth something of. */
const BURSTS_MIN = 18;
/** Not a multiple of 20 ms: bursts begin at every place of a packet. */
const MICROPHONE = { hz: 440, burstMs: 150, periodMs: 507, bursts: 20 };

export const delay = measurement('call', 'one call');
export const delayInRoom = measurement('room', 'a room of many with these two');

function measurement(where, among) {
  const { p50, p95 } = LIMITS[where];
  const goal = `p50 ≤ ${p50} ms, p95 ≤ ${p95} ms`;
  const how = `Chromium without a display, release daemon, a stand-in for Asterisk at 16 kHz, all on loopback, both ways at once in ${among}`;
  const suffix = where === 'room' ? ', in a room' : '';
  return {
    rows: [
      {
        what: `browser microphone to AudioSocket bytes${suffix}`,
        goal,
        method:
          `${how}. Bursts every 507 ms from the fake microphone; from the capture time of a burst's first sample (timestamps of ` +
          'the track, laid over the clock by the least delay seen) to the arrival of the message that holds it.',
      },
      {
        what: `AudioSocket bytes to playout worklet${suffix}`,
        goal,
        method:
          `${how}. Bursts every 520 ms; from the write of the first message of a burst to the rendering of its first loud ` +
          'sample (frame of the AudioContext, laid over the clock by its currentTime, taken as late as it can have been).',
      },
    ],
    async run({ seconds }) {
      const users = '[[users]]\nid = "anna"\nname = "Anna"\nnumber = "7001"\n';
      const rooms = `[[rooms.room]]\nname = "${ROOM.name}"\nnumber = "${ROOM.number}"\n`;
      const daemon = await startDaemon({ toml: users + rooms });
      const browser = await launchChromium({ hz: MICROPHONE.hz, write: (path) => writeBursts(path, MICROPHONE) });
      try {
        const phone = await browser.phone({ url: daemon.url, init: install });
        await phone.signInWith(daemon.token({ id: 'anna', name: 'Anna', number: '7001' }));
        const meet = where === 'room' ? await inRoom(daemon, phone) : inCall(daemon, phone);
        const calls = [];
        for (let n = 0; n < CALLS; n += 1) calls.push(await call(meet, phone, seconds / CALLS));
        return [outward(calls, LIMITS[where]), homeward(calls, LIMITS[where])];
      } finally {
        await browser.close();
        await daemon.stop();
      }
    },
  };
}

/** The telephone calls the browser. */
function inCall(daemon, phone) {
  return {
    async begin() {
      const leg = await startLeg({ port: daemon.ports.audiosocket, uuid: await ticket(daemon, '7001') });
      await phone.answer();
      await phone.call('up');
      return leg;
    },
    async end() {
      await phone.ended().catch(() => {});
      await phone.rest();
    },
  };
}

/** The telephone dials a room that the browser is in. */
async function inRoom(daemon, phone) {
  await new WebRoom(phone).enter(ROOM.name);
  return {
    begin: async () => startLeg({ port: daemon.ports.audiosocket, uuid: await ticket(daemon, ROOM.number) }),
    end: () => phone.see('room[data-count="1"]'),
  };
}

/** One call of `seconds` that count; returns what was said and heard on either side. */
async function call({ begin, end }, phone, seconds) {
  const leg = await begin();
  try {
    await phone.driver.evaluate(() => __moqrelay.probe());
    await until(() => leg.heard.length > 1, { what: 'the microphone at the AudioSocket', ms: 15_000 });
    await pause(WARM_UP_MS);
    const from = now();
    await pause(seconds * 1000);
    const to = now();
    await pause(MATCH_MS);
    const page = await read(phone, { offset: await clockOffset(phone), seconds: seconds + 5 });
    const { peers } = await phone.driver.evaluate(() => __moqrelay.stats());
    const aims = peers.map(({ targetMs }) => targetMs).filter((ms) => ms > 0);
    if (leg.ended) throw new Error('the AudioSocket leg ended before its time');
    return { leg, page, aim: Math.max(...aims), within: (times) => times.filter((at) => at >= from && at < to) };
  } finally {
    leg.close();
    await end();
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks for a leg as a dialplan does. */
async function ticket(daemon, to) {
  const answer = await fetch(`${daemon.url}api/v1/asterisk/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ASTERISK_SECRET}`, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ to, from: '1001', name: 'Alice', channel: 'bench', uniqueid: 'bench.1' }),
  });
  if (!answer.ok) throw new Error(`no ticket: ${answer.status} ${await answer.text()}`);
  return (await answer.text()).trim();
}

function outward(calls, limits) {
  const fromMicrophone = calls.map(({ page, leg, within }) => pairs(within(microphoneBursts(page)), leg.heard));
  const fromWorklet = calls.map(({ page, leg, within }) => pairs(within(frames(page, page.probe.captured)), leg.heard));
  const before = median(fromMicrophone.map(p50)) - median(fromWorklet.map(p50));
  const error = Math.max(...calls.map(({ page }) => page.offset.error));
  return verdict(fromMicrophone, limits, [`of these ${ms(before)} before the capture worklet`, `error ±${ms(error)}`]);
}

function homeward(calls, limits) {
  const delays = calls.map(({ page, leg, within }) => pairs(within(leg.said), frames(page, page.probe.played)));
  const late = calls.flatMap(({ leg }) => leg.late);
  const error = Math.max(...calls.map(({ page }) => page.offset.error));
  const quantum = Math.max(...calls.map(({ page }) => page.quantumMs));
  return verdict(delays, limits, [
    `jitter buffer aims at ${range(calls.map(({ aim }) => aim))}`,
    `written up to ${ms(percentile(late, 0.99))} late (p99)`,
    `error -${ms(quantum + error)} +${ms(error)}`,
  ]);
}

const frames = (page, list) => list.map((frame) => frameTime(page, frame));

/** How long each beginning took to its end; for ever, when it did not come. */
function pairs(begins, ends) {
  const delays = begins.map((begin) => ends.find((end) => end >= begin) - begin).map((delay) => (delay <= MATCH_MS ? delay : Infinity));
  const came = delays.filter(Number.isFinite).length;
  if (came < BURSTS_MIN) throw new Error(`only ${came} of ${begins.length} bursts came through (${ends.length} heard)`);
  return delays;
}

function verdict(calls, limits, notes) {
  const [p50s, p95s] = [calls.map(p50), calls.map(p95)];
  const all = calls.flat();
  const came = all.filter(Number.isFinite);
  const counts = `max ${ms(Math.max(...came))}, ${all.length} bursts in ${calls.length} calls, ${all.length - came.length} lost`;
  return {
    figures: [`p50 ${range(p50s)}, p95 ${range(p95s)}, ${counts}`, ...notes].join('; '),
    verdict: median(p50s) <= limits.p50 && median(p95s) <= limits.p95 ? 'met' : 'missed',
  };
}

const p50 = (values) => percentile(values, 0.5);
const p95 = (values) => percentile(values, 0.95);
const median = p50;
const ms = (value) => `${value.toFixed(1)} ms`;
const range = (values) => `${ms(median(values))} (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})`;
