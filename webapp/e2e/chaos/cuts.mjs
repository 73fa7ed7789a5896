// What lies between a browser and a telephone breaks in the middle of a call.
import assert from 'node:assert/strict';
import { peak, startPhone } from '../../../deploy/asterisk/harness.mjs';
import { next } from '../lib/device.mjs';
import { until } from '../lib/wait.mjs';
import { endedOnce, isEmpty, pause, talk } from './world.mjs';

/** What a browser may wait for the news that its telephone is gone. */
const TOLD_MS_MAX = 2_000;
/** How long sound must go on without ARI. */
const WITHOUT_ARI_MS = 3_000;
/** The test tone of `milliwatt`. */
const TONE_HZ = 1004;

/** Asterisk dies without a word while browsers and telephones talk, and comes back. */
export async function asteriskKilled(world) {
  const [anna, bert, ...others] = world.people;
  const calls = [await called(world, anna, 'chaos-killed'), await calls600(bert)];
  const told = [anna, bert].map((device, n) => endOf(device, calls[n]));
  const at = Date.now();
  await world.asterisk.kill();
  const ends = await Promise.all(told);
  const after = Math.max(...ends.map((end) => end.at)) - at;
  for (const { event } of ends) {
    assert.equal(event.cause, 'lost', `a call with a dead Asterisk ended as ${event.cause}`);
    assert.match(event.reason, /\w+ \w+/, 'the cause is told in words');
  }
  assert.ok(after <= TOLD_MS_MAX, `browsers heard of it after ${after} ms`);
  await until(async () => (await world.metric('moqrelay_ari_up')) === 0, { what: 'the loss of ARI to be noticed' });
  await assert.rejects(others[0].request('call', { to: '600' }), { code: 'no_route' });
  await world.asterisk.startAgain();
  const back = Date.now();
  await world.connected();
  const reconnected = Date.now() - back;
  await talk(world, anna);
  const again = await called(world, bert, 'chaos-after');
  await bert.request('hangup', { call: again });
  const left = await isEmpty(world);
  endedOnce(world);
  return `2 calls ended as lost ("${ends[0].event.reason}") within ${after} ms, ARI back ${reconnected} ms after Asterisk, next calls both ways work; ${left}`;
}

/** The connection to ARI breaks while sound goes by AudioSocket, and is made again. */
export async function ariCut(world) {
  const [anna, bert] = world.people;
  const alice = await startPhone({ asterisk: world.asterisk, name: 'alice', hz: 700, answer: 'auto' });
  const bob = await startPhone({ asterisk: world.asterisk, name: 'bob', hz: 700 });
  try {
    // Alice hears the test tone of ours all the time; bob talks to anna.
    await world.asterisk.cli('channel originate PJSIP/alice extension milliwatt@moqrelay-ring');
    await alice.established();
    const call = await phones(bob, anna);
    const frames = () => Promise.all(['in', 'out'].map((way) => world.metric(`moqrelay_bridge_frames_${way}_total`)));
    await until(async () => (await during(1_000, frames))[0] >= 80, { what: 'sound on both calls' });
    const keys = [];
    const off = anna.on((event) => event.type === 'dtmf' && keys.push(event.digit));

    world.control.cut();
    await until(async () => (await world.metric('moqrelay_ari_up')) === 0, { what: 'the loss of ARI to be noticed' });
    await assert.rejects(bert.request('call', { to: '600' }), { code: 'no_route' });
    await bob.dtmf('15');
    const [came, went] = await during(WITHOUT_ARI_MS, frames);
    // Counters move once a second.
    const wanted = (2 * (WITHOUT_ARI_MS - 1_200)) / 20;
    assert.ok(came >= wanted && went >= wanted, `without ARI ${came} frames in and ${went} out in ${WITHOUT_ARI_MS} ms`);
    assert.deepEqual(keys, ['1', '5'], 'keys by AudioSocket while ARI is away');
    world.control.mend();
    const back = Date.now();
    await world.connected();
    const reconnected = Date.now() - back;
    await bob.dtmf('9');
    await until(() => keys.length >= 3, { what: 'a key after ARI is back' });
    assert.deepEqual(keys, ['1', '5', '9'], 'each key once');
    off();

    world.control.cut();
    await until(async () => (await world.metric('moqrelay_ari_up')) === 0, { what: 'the loss of ARI to be noticed again' });
    const ended = endOf(anna, call);
    await anna.request('hangup', { call });
    assert.equal((await ended).event.cause, 'normal');
    const closed = bob.closed(30_000);
    world.control.mend();
    await world.connected();
    await closed;
    const gone = alice.closed();
    await alice.hangUp();
    await gone;
    const { hz, level } = peak(alice.heard);
    assert.ok(Math.abs(hz - TONE_HZ) <= 5 && level > 500, `alice heard ${hz} Hz at level ${level}`);
    const left = await isEmpty(world);
    endedOnce(world);
    return `sound went on both ways (${came} frames in and ${went} out in ${WITHOUT_ARI_MS} ms), 2 keys came by AudioSocket, new calls were refused (no_route), ARI back after ${reconnected} ms, a call hung up meanwhile ended at the telephone then; ${left}`;
  } finally {
    world.control.mend();
    await alice.stop();
    await bob.stop();
  }
}

/** The AudioSocket connections break while ARI lives: the calls are of no use any more and end. */
export async function soundCut(world) {
  const [anna, bert] = world.people;
  const bob = await startPhone({ asterisk: world.asterisk, name: 'bob', hz: 700 });
  try {
    const first = await phones(bob, anna);
    const second = await calls600(bert);
    const told = [endOf(anna, first), endOf(bert, second)];
    const closed = bob.closed();
    const at = Date.now();
    world.sound.cut();
    const ends = await Promise.all(told);
    await closed;
    const after = Math.max(...ends.map((end) => end.at)) - at;
    for (const { event } of ends) assert.equal(event.cause, 'lost', `a call without sound ended as ${event.cause}`);
    assert.ok(after <= TOLD_MS_MAX, `browsers heard of it after ${after} ms`);
    // While the way is cut a call cannot have sound, and is not left without.
    const failed = next(bert, (event) => event.type === 'ended', { what: 'a call without a way for its sound to end', ms: 45_000 });
    await bert.request('call', { to: '600' });
    const { cause } = await failed;
    world.sound.mend();
    await talk(world, anna);
    const left = await isEmpty(world);
    endedOnce(world);
    return `2 calls ended as lost within ${after} ms and the telephone was hung up, a call meanwhile ended as ${cause}, the next one works; ${left}`;
  } finally {
    world.sound.mend();
    await bob.stop();
  }
}

/** Returns by how much numbers grow in so many milliseconds. */
async function during(ms, numbers) {
  const before = await numbers();
  await pause(ms);
  const after = await numbers();
  return after.map((number, n) => number - before[n]);
}

/** A telephone of the dialplan calls a device, which answers; returns the call when it is up. */
async function called(world, device, id) {
  const incoming = next(device, (event) => event.type === 'incoming', { what: 'a call' });
  await world.telephone(id, device.number);
  return answer(device, await incoming);
}

/** A SIP telephone calls a device, which answers. */
async function phones(phone, device) {
  const incoming = next(device, (event) => event.type === 'incoming', { what: 'a call' });
  await phone.dial(device.number);
  const call = await answer(device, await incoming);
  await phone.established();
  return call;
}

async function answer(device, { call }) {
  const up = next(device, (event) => event.type === 'up' && event.call === call, { what: 'the call to be up' });
  await device.request('answer', { call });
  await up;
  return call;
}

/** A device calls the echo. */
async function calls600(device) {
  const up = next(device, (event) => event.type === 'up', { what: 'the echo to answer' });
  const { call } = await device.request('call', { to: '600' });
  await up;
  return call;
}

/** Resolves with the end of a call, and when it came. */
async function endOf(device, call) {
  const event = await next(device, (told) => told.type === 'ended' && told.call === call, { what: `the end of ${call}` });
  return { event, at: Date.now() };
}
