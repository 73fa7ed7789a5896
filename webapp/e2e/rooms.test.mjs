// Rooms of many: telephones dial in through a real Asterisk, by ARI and by tickets, and a MoQ client of other makers
// reads who is there.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readWav } from '../../deploy/asterisk/harness.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

const LISTENER =
  process.env.MOQRELAY_LISTENER ?? fileURLToPath(new URL('../../target/debug/examples/foreign_listener', import.meta.url));
const ALICE_HZ = 700;
const BOB_HZ = 950;
/** Asterisk's extension 604. */
const TRUNK_HZ = 1004;
/** What a tone has at least where it is heard, and at most where it is not: RMS of the tone alone, 32767 the most. */
const HEARD_MIN = 400;
const UNHEARD_MAX = 40;
const WAIT_MS = 20_000;
/** How much of a recording is examined: within it 700, 950 and 1004 Hz can be told apart well. */
const EXAMINED_S = 0.5;
/** The open room, by ARI and by a ticket, and the one behind a PIN. */
const [BOARD, BOARD_BY_TICKET, DEN, PIN] = ['7810', '8810', '7820', '4711'];

let site;
let asterisk;
let daemon;
let alice;
let bob;

before(async () => {
  site = await startSite({
    toml: configuration,
    phones: [
      { name: 'alice', hz: ALICE_HZ },
      { name: 'bob', hz: BOB_HZ },
    ],
  });
  ({ asterisk, daemon } = site);
  ({ alice, bob } = site.sip);
});

after(() => site?.stop());

afterEach(async (context) => {
  if (!context.passed) site?.report();
  await site?.rest();
  await asterisk?.cli('channel request hangup all');
  await people(0);
});

describe('three telephones in a room', () => {
  test('hear each other and not themselves, by either way in', async () => {
    await meet();
    await asterisk.cli(`channel originate Local/${BOARD}@internal extension 604@internal`);
    await people(3);

    await hears(alice, { yes: [BOB_HZ, TRUNK_HZ], no: [ALICE_HZ] });
    await hears(bob, { yes: [ALICE_HZ, TRUNK_HZ], no: [BOB_HZ] });
  });

  test('mute by *6, are heard again by *6, raise their hand by *5, leave by *8', async () => {
    await meet();
    await hears(bob, { yes: [ALICE_HZ], no: [BOB_HZ] });

    await alice.dtmf('*6');
    await happened('Muted(ParticipantId(1), true)');
    await hears(bob, { yes: [], no: [ALICE_HZ, BOB_HZ] });
    await hears(alice, { yes: [BOB_HZ], no: [] });
    await alice.dtmf('*6');
    await happened('Muted(ParticipantId(1), false)');
    await hears(bob, { yes: [ALICE_HZ], no: [BOB_HZ] });
    await alice.dtmf('*5');
    await happened('Hand(ParticipantId(1), true)');
    const closed = alice.closed(WAIT_MS);
    await alice.dtmf('*8');

    await closed;
    await people(1);
  });

  test('are in the roster that a foreign MoQ client reads', async () => {
    const room = await meet();
    await alice.dtmf('*5');
    await happened('Hand(ParticipantId(1), true)');

    const roster = await read(room, 'roster');

    assert.deepEqual(
      { ...roster, people: roster.people.map(({ participant, kind, role, presence, muted, hand }) => [participant, kind, role, presence, muted, hand]) },
      {
        version: 1,
        room,
        name: 'board',
        title: 'Board meeting',
        number: BOARD,
        locked: false,
        lobby: false,
        recording: false,
        listening: [],
        people: [
          ['p1', 'telephone', 'speaker', 'here', false, 1],
          ['p2', 'telephone', 'speaker', 'here', false, undefined],
        ],
      },
    );
    const next = read(room, 'events');
    // It reads what comes after it has subscribed: something happens until it has.
    let event;
    const reading = next.then((read) => (event = read));
    while (event === undefined) {
      await alice.dtmf('*5');
      await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 500))]);
    }
    assert.equal(event.type, 'hand');
    assert.equal(event.by, 'p1');
    assert.equal(event.participant, 'p1');
  });
});

describe('a foreign MoQ client', () => {
  test('hears a telephone, and the mix of all', async () => {
    const room = await meet();

    const [own, first, second] = await Promise.all([purity(room, 'p1', ALICE_HZ), purity(room, 'mix', ALICE_HZ), purity(room, 'mix', BOB_HZ)]);

    assert.ok(own > 0.8, `of a telephone: ${own}`);
    // Two tones as loud as each other.
    assert.ok(first > 0.25 && second > 0.25, `of the two in the mix: ${first} and ${second}`);
  });
});

describe('a room behind a PIN', () => {
  test('opens to the PIN', async () => {
    await alice.dial(DEN);
    await alice.established(WAIT_MS);

    await alice.dtmf(`${PIN}#`);

    await people(1);
  });

  test('hangs up after three wrong ones', async () => {
    await alice.dial(DEN);
    await alice.established(WAIT_MS);
    const closed = alice.closed(WAIT_MS);

    for (const wrong of ['1#', '22#', '4712#']) await alice.dtmf(wrong);

    await closed;
    await people(0);
  });
});

function configuration(asterisk) {
  return `
${ariToml(asterisk)}
[[rooms.room]]
name = "board"
title = "Board meeting"
number = "${BOARD}"

[[rooms.room]]
name = "den"
number = "${DEN}"
pin = "${PIN}"
`;
}

/** Alice comes by ARI and is p1, Bob by a ticket and is p2; returns the room's id. */
async function meet() {
  await alice.dial(BOARD);
  await alice.established(WAIT_MS);
  await people(1);
  await bob.dial(BOARD_BY_TICKET);
  await bob.established(WAIT_MS);
  await people(2);
  return /the room opens room=([0-9a-f]{32}) name=board/.exec(plain().split('\n').findLast((line) => line.includes('the room opens')))[1];
}

/** Waits until so many are in rooms. */
function people(wanted) {
  const count = async () => Number(/^moqrelay_room_participants (\d+)/m.exec(await daemon.metrics())?.[1] ?? 0);
  return until(async () => (await count()) === wanted, { what: `${wanted} in rooms`, ms: WAIT_MS });
}

/** Waits for something to be the last that happened of its kind. */
function happened(what) {
  const kind = what.slice(0, what.lastIndexOf(','));
  const last = () => plain().split('\n').findLast((line) => line.includes(`what=${kind}`));
  return until(async () => last()?.includes(`what=${what}`), { what, ms: WAIT_MS });
}

function plain() {
  // eslint-disable-next-line no-control-regex
  return daemon.log().replace(/\u001b\[[0-9;]*m/g, '');
}

/** Waits until the newest half second that a telephone heard has these tones and not those. */
async function hears(phone, { yes, no }) {
  let last;
  const right = () => {
    const { rate, samples } = readWav(phone.heard);
    const part = samples.subarray(-Math.floor(rate * EXAMINED_S));
    last = Object.fromEntries([...yes, ...no].map((hz) => [hz, Math.round(tone(part, rate, hz))]));
    return part.length > 0 && yes.every((hz) => last[hz] >= HEARD_MIN) && no.every((hz) => last[hz] <= UNHEARD_MAX);
  };
  await until(async () => right(), { what: `${yes} Hz and not ${no} Hz`, ms: WAIT_MS, poll: 200 }).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(last)}`);
  });
}

/** The RMS of one tone in samples, by a Hann window so that others do not leak into it. */
function tone(samples, rate, hz) {
  let [re, im, weight] = [0, 0, 0];
  for (let i = 0; i < samples.length; i++) {
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / samples.length);
    const angle = (2 * Math.PI * hz * i) / rate;
    re += window * samples[i] * Math.cos(angle);
    im += window * samples[i] * Math.sin(angle);
    weight += window;
  }
  return weight === 0 ? 0 : (Math.SQRT2 * Math.hypot(re, im)) / weight;
}

/** Hears a participant of a room, or its mix, by a MoQ client of other makers; returns the share that a tone has. */
async function purity(room, participant, hz) {
  const { url } = await daemon.transport();
  const token = daemon.listenerToken(`room/${room}`);
  const { stdout } = await promisify(execFile)(LISTENER, [`${url}?token=${token}`, `room/${room}/${participant}`, `${hz}`]);
  const heard = JSON.parse(stdout);
  assert.equal(heard.objects, 100);
  return heard.purity;
}

/** Reads the next object of one of a room's tracks by a MoQ client of other makers. */
async function read(room, track) {
  const { url } = await daemon.transport();
  const token = daemon.listenerToken(`room/${room}`);
  const { stdout } = await promisify(execFile)(LISTENER, [`${url}?token=${token}`, `room/${room}`, track]);
  return JSON.parse(stdout);
}
