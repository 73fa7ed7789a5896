// A new process takes over while browsers and telephones talk, and while they ring, through a real
// Asterisk: the calls go on in the old process, and end in it; what is new comes to the new one.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { peak, readWav } from '../../deploy/asterisk/harness.mjs';
import { isNear, pause } from './lib/ear.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

const PHONE_HZ = 700;
const LEVEL_MIN = 1_000;
const TALK_MS = 3_000;
const HANGUP_MS_MAX = 500;
/** What may be missing of the sound to either side while processes change: three frames. */
const GAP_MS_MAX = 60;
const ANNA = '7001';

let site;
let asterisk;
let daemon;
let browser;
let anna;
let alice;
const olds = [];

before(async () => {
  site = await startSite({
    toml: ariToml,
    users: [{ id: 'anna', name: 'Anna', number: ANNA }],
    phones: [{ name: 'alice', hz: PHONE_HZ }],
  });
  ({ asterisk, daemon, browser } = site);
  ({ anna } = site.web);
  ({ alice } = site.sip);
});

after(async () => {
  for (const old of olds) await old.stop();
  await site?.stop();
});

afterEach(async (context) => {
  if (!context.passed) {
    site?.report();
    for (const { log } of olds) console.error(`${log().split('\n').slice(-40).join('\n')}\n--`);
  }
  await site?.rest();
});

test('a call goes on without a gap; keys are heard; the browser ends it', async (context) => {
  await alice.dial(ANNA);
  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await anna.hears(PHONE_HZ);
  await pause(TALK_MS);
  const missing = await anna.count();

  const old = await takeOver();

  await pause(TALK_MS);
  await anna.hears(PHONE_HZ);
  const { concealedMs, lost } = await missing();
  await alice.dtmf('159#');
  await anna.wait('the keys 159#', () => /pressed 159#/.test(document.querySelector('[data-testid="call-hint"]').textContent));
  const { hz, level } = peak(alice.heard);
  const heardGap = longestGap(alice.heard);
  context.diagnostic(`to the browser ${concealedMs} ms made up, ${lost} objects lost; to the telephone a gap of ${heardGap} ms`);
  assert.ok(concealedMs <= GAP_MS_MAX, `${concealedMs} ms were made up for the browser`);
  assert.ok(heardGap <= GAP_MS_MAX, `the telephone heard nothing for ${heardGap} ms`);
  assert.ok(isNear(hz, anna.hz) && level >= LEVEL_MIN, `the telephone heard ${hz} Hz at level ${level}`);
  const closed = alice.closed();
  const at = await anna.clickedAt('call-hangup');
  await closed;
  within(Date.now() - at);
  await goneFromAsterisk();
  assert.equal(await old.ended, 0, 'the old process ends when its last call has');
});

test('a call goes on, and the telephone ends it', async () => {
  await anna.ready();
  await alice.dial(ANNA);
  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await anna.hears(PHONE_HZ);

  const old = await takeOver();

  await anna.hears(PHONE_HZ);
  const gone = anna.moment('call', false);
  const at = Date.now();
  await alice.hangUp();
  within((await gone) - at);
  assert.equal(await anna.ended(), 'normal');
  assert.equal(await old.ended, 0);
});

test('a browser that rings is answered in the old process, and both hear each other', async () => {
  await anna.ready();
  await alice.dial(ANNA);
  await alice.ringing();
  await anna.see('incoming');

  const old = await takeOver();

  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await bothHear();
  await anna.hangUp();
  assert.equal(await old.ended, 0);
});

test('a telephone that rings answers, and both hear each other', async () => {
  await anna.ready();
  await anna.dial('1001');
  await alice.incoming();
  await anna.call('ringing');

  const old = await takeOver();

  await alice.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await bothHear();
  await alice.hangUp();
  await anna.ended();
  assert.equal(await old.ended, 0);
});

test('a caller who gives up after it is heard of', async () => {
  await anna.ready();
  await alice.dial(ANNA);
  await alice.ringing();
  await anna.see('incoming');

  const old = await takeOver();

  await alice.hangUp();
  await anna.seeNo('incoming');
  assert.equal(await old.ended, 0);
});

test('the next call comes to the new process', async () => {
  await anna.ready();

  await alice.dial(ANNA);
  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);

  await bothHear();
  await anna.hangUp();
  await goneFromAsterisk();
});

test('a telephone that holds is heard of', async () => {
  await anna.ready();
  await alice.dial(ANNA);
  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await anna.hears(PHONE_HZ);

  const old = await takeOver();

  // The last test: this telephone may crash when a call that it holds ends.
  await alice.hold();
  await until(() => /telephone holds/.test(old.log()), { what: 'the old process to hear that the telephone holds' });
  await anna.hangUp();
  assert.equal(await old.ended, 0);
});

async function takeOver() {
  const old = await daemon.takeOver();
  olds.push(old);
  await until(() => /another process has taken over/.test(old.log()), { what: 'the old process to step aside' });
  await until(() => /asterisk is reachable by ARI/.test(daemon.log()), { what: 'the new process to connect to ARI' });
  return old;
}

async function bothHear() {
  await anna.hears(PHONE_HZ);
  await pause(TALK_MS);
  const { hz, level } = peak(alice.heard);
  assert.ok(isNear(hz, anna.hz) && level >= LEVEL_MIN, `the telephone heard ${hz} Hz at level ${level}`);
}

/** Nothing of a call is left in Asterisk, nor an application of a process that is gone. */
async function goneFromAsterisk() {
  await until(async () => /^0 active channels/m.test(await asterisk.cli('core show channels')), { what: 'Asterisk to have no channels' });
}

/** The longest time, in ms, without a tone in the second half of what was heard. */
function longestGap(file) {
  const { rate, samples } = readWav(file);
  const step = rate / 100;
  let longest = 0;
  let gap = 0;
  for (let at = samples.length >> 1; at + step <= samples.length; at += step) {
    const level = Math.sqrt(samples.subarray(at, at + step).reduce((sum, s) => sum + s * s, 0) / step);
    gap = level < LEVEL_MIN / 2 ? gap + 10 : 0;
    longest = Math.max(longest, gap);
  }
  return longest;
}

function within(ms) {
  assert.ok(ms <= HANGUP_MS_MAX, `the other side ended after ${ms} ms, at most ${HANGUP_MS_MAX} are allowed`);
}
