// Calls of every kind that are answered, refused and hung up at random moments, often by both sides at once.
import { endedOnce, isEmpty, pause } from './world.mjs';
import { until } from '../lib/wait.mjs';

/** Until a call's end: it rings within some milliseconds and is answered soon after. */
const END_MS_MAX = 700;
const ANSWER_MS_MAX = 350;
/** How long a channel of Asterisk's is looked for that may not be made any more. */
const SEARCH_MS = 1_500;
/** Refusals that only say that something else was faster. */
const CROSSED = new Set(['no_such_call', 'wrong_state', 'too_many']);

/** Makes `count` calls, one after the other for each person; `seed` decides everything but the network's timing. */
export async function hangups(world, { count, seed }) {
  const random = generator(seed);
  const plans = Array.from({ length: count }, (_, n) => plan(random, n));
  const began = Date.now();
  let taken = 0;
  const tally = { refused: 0 };
  await Promise.all(
    world.people.map(async (device) => {
      while (taken < plans.length) {
        const chosen = plans[taken];
        taken += 1;
        await carryOut(world, device, chosen, tally);
      }
    }),
  );
  const seconds = (Date.now() - began) / 1000;
  const left = await isEmpty(world);
  const words = Object.entries(endedOnce(world)).map(([cause, n]) => `${n} ${cause}`);
  return `${count} calls in ${seconds.toFixed(1)} s (${words.join(', ')}, ${tally.refused} requests crossed with an end); each ended once; ${left}`;
}

function plan(random, n) {
  const kind = pick(random, ['browser', 'browser', 'ari', 'ari', 'ticket']);
  return {
    id: `chaos-${n}`,
    kind,
    to: pick(random, ['600', '600', '606', '610', '605', '611']),
    // Who hangs up first; with both it is the same moment.
    by: pick(random, ['near', 'far', 'both']),
    takes: pick(random, ['answer', 'answer', 'answer', 'reject', 'nothing']),
    answerMs: Math.floor(random() * ANSWER_MS_MAX),
    endMs: Math.floor(random() * END_MS_MAX),
  };
}

async function carryOut(world, device, chosen, tally) {
  const begin = chosen.kind === 'browser' ? dial : arrive;
  const off = await begin(world, device, chosen, tally);
  await until(() => device.live.size === 0, { what: `every call of ${device.id} to end (${JSON.stringify(chosen)})`, ms: 30_000, poll: 10 });
  off?.();
}

/** The browser calls. */
async function dial(world, device, chosen, tally) {
  const { call } = await device.request('call', { to: chosen.to });
  await pause(chosen.endMs);
  const near = () => crossing(device.request('hangup', { call }), tally);
  const far = async () => {
    if (!(await hangUpFar(world, device, call))) await near();
  };
  await Promise.all([chosen.by !== 'far' && near(), chosen.by !== 'near' && far()].filter(Boolean));
}

/** A telephone calls the browser; returns what makes the browser pay no more attention. */
async function arrive(world, device, chosen, tally) {
  const number = chosen.kind === 'ticket' ? `8${device.number.slice(1)}` : device.number;
  const takes = (call) => (chosen.takes === 'nothing' ? undefined : crossing(device.request(chosen.takes, { call }), tally));
  let over = false;
  const off = device.on((event) => {
    if (event.type !== 'incoming') return;
    // Too late for this call: the telephone is gone or about to be.
    if (over) void crossing(device.request('reject', { call: event.call }), tally);
    else setTimeout(() => void takes(event.call), chosen.answerMs);
  });
  await world.telephone(chosen.id, number);
  await pause(chosen.endMs);
  over = true;
  const calls = [...device.live];
  const near = () => Promise.all(calls.map((call) => crossing(device.request('hangup', { call }), tally)));
  const far = () => world.ari('DELETE', `channels/${chosen.id}`);
  await Promise.all([chosen.by !== 'far' && near(), chosen.by !== 'near' && far()].filter(Boolean));
  // Whom the browser has not hung up, for it was not told of it yet, hangs up now.
  if (chosen.by === 'near') await far();
  return off;
}

/** The other end of a browser's call hangs up, as soon as there is one. */
async function hangUpFar(world, device, call) {
  const deadline = Date.now() + SEARCH_MS;
  while (Date.now() < deadline && device.live.has(call)) {
    const channels = (await world.ari('GET', 'channels')) ?? [];
    const far = channels.find((channel) => channel.name.startsWith('Local/') && [channel.caller.number, channel.connected.number].includes(device.number));
    if (far !== undefined) {
      await world.ari('DELETE', `channels/${far.id}`);
      return true;
    }
    await pause(10);
  }
  return !device.live.has(call);
}

async function crossing(request, tally) {
  await request.catch((error) => {
    if (!CROSSED.has(error.code)) throw error;
    tally.refused += 1;
  });
}

const pick = (random, from) => from[Math.floor(random() * from.length)];

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
