// Rooms of many: telephones dial in through a real Asterisk, by ARI and by tickets, and a MoQ client of other makers
// reads who is there.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readWav } from '../../deploy/asterisk/harness.mjs';
import { startDevice } from './lib/signal.mjs';
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
/** Where names are said; what speaks them says notes, so that they can be told from telephones. */
const [NAMED, NAMED_BY_TICKET, ALICES_NAME_HZ, BOBS_NAME_HZ] = ['7830', '8830', 1500, 1900];
const SPEAKER = fileURLToPath(new URL('./lib/speak.mjs', import.meta.url));
/** Asterisk's music, and speech, are louder than that. */
const SOUND_MIN = 60;

let site;
let asterisk;
let daemon;
let alice;
let bob;
/** Takes whoever is in a room by signaling out of it. */
let leave = async () => {};

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
  await leave();
  leave = async () => {};
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

test('telephones in a room where names are said hear who joins, and nobody the own name', async () => {
  await alice.dial(NAMED);
  await alice.established(WAIT_MS);
  await people(1);
  await bob.dial(NAMED_BY_TICKET);
  await bob.established(WAIT_MS);
  await people(2);

  await until(async () => heardSometime(alice, BOBS_NAME_HZ), { what: "Bob's name in Alice's ear", ms: WAIT_MS, poll: 200 });
  await hears(bob, { yes: [ALICE_HZ], no: [BOBS_NAME_HZ] });
  assert.ok(!heardSometime(bob, BOBS_NAME_HZ) && !heardSometime(alice, ALICES_NAME_HZ), 'nobody hears the own name');
  assert.match(await daemon.metrics(), /^moqrelay_room_announcements_total\{result="spoken"\} [12]$/m);
});

describe('a foreign MoQ client', () => {
  test('is let in as a recorder, reads the roster that everyone sees it in, hears a telephone, and the mix of all', async () => {
    const room = await meet();
    const { token, participant } = await letIn({ kind: 'recorder', name: 'Minutes' });

    const [roster, own, first, second] = await Promise.all([
      read(room, 'roster', token),
      purity(room, 'p1', ALICE_HZ, token),
      purity(room, 'mix', ALICE_HZ, token),
      purity(room, 'mix', BOB_HZ, token),
    ]);

    assert.equal(roster.recording, true);
    assert.deepEqual(
      roster.people.map((it) => [it.participant, it.kind]),
      [
        ['p1', 'telephone'],
        ['p2', 'telephone'],
        [participant, 'recorder'],
      ],
    );

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

  test('asks for it in words, and who is alone then hears music until somebody comes', async () => {
    const started = () => [...asterisk.log().matchAll(/Started music on hold/g)].length;
    const before = started();
    await alice.dial(DEN);
    await alice.established(WAIT_MS);
    await sounds(alice, 'the question for the PIN');
    await alice.dtmf(`${PIN}#`);
    await people(1);

    await until(async () => started() > before, { what: 'the music to begin', ms: WAIT_MS });
    await sounds(alice, 'music');
    await bob.dial(DEN);
    await bob.established(WAIT_MS);
    await bob.dtmf(`${PIN}#`);
    await people(2);

    await hears(alice, { yes: [BOB_HZ], no: [ALICE_HZ] });
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

describe('a host calls a telephone', () => {
  let anna;
  let room;

  before(async () => {
    anna = await startDevice({ url: daemon.url, token: daemon.token({ id: 'anna', name: 'Anna', number: '7001' }) });
  });

  after(() => anna?.close());

  beforeEach(async () => {
    const joined = await anna.ask('join', { room: 'board' });
    assert.equal(joined.role, 'host', JSON.stringify(joined));
    room = joined.room.id;
    leave = () => anna.ask('leave', { room });
    await people(1);
  });

  test('it rings, answers, is in the room, hears it and is heard', async () => {
    await bob.dial(BOARD);
    await bob.established(WAIT_MS);
    await people(2);

    await dial('1001');
    await dials('1001', 'calling');
    await alice.incoming(WAIT_MS);
    await dials('1001', 'ringing');
    await alice.answer();

    await dials('1001', 'up');
    await people(3);
    await hears(alice, { yes: [BOB_HZ], no: [ALICE_HZ] });
    await hears(bob, { yes: [ALICE_HZ], no: [BOB_HZ] });
    const roster = await anna.next('roster', (it) => it.roster.people.length === 3, WAIT_MS);
    assert.deepEqual(
      roster.roster.people.map(({ kind, name }) => [kind, name]),
      [['browser', 'Anna'], ['telephone', 'Bob'], ['telephone', '1001']],
    );
    const closed = alice.closed(WAIT_MS);
    await alice.hangUp();
    await closed;
    await people(2);
  });

  for (const [number, cause] of [
    ['605', 'busy'],
    ['607', 'not_found'],
    ['608', 'rejected'],
  ]) {
    test(`${number}: ${cause}`, async () => {
      await dial(number);

      assert.equal((await dials(number, 'ended')).cause, cause);
      await people(1);
    });
  }

  test('that nobody answers is given up', async () => {
    await dial('1001');
    await alice.incoming(WAIT_MS);
    const closed = alice.closed(WAIT_MS);

    assert.equal((await dials('1001', 'ended')).cause, 'no_answer');
    await closed;
  });

  test('is refused for who has a web phone, and for what is no number', async () => {
    assert.equal((await act({ act: 'dial', number: '7001' })).code, 'wrong_state');
    assert.equal((await act({ act: 'dial', number: 'nobody' })).code, 'not_found');
  });

  const act = (what) => anna.ask('room', { room, do: what });
  const dials = (number, state) => anna.next('room_dial', (it) => it.number === number && it.state === state, WAIT_MS);

  async function dial(number) {
    const answer = await act({ act: 'dial', number });
    assert.equal(answer.type, 'ok', JSON.stringify(answer));
  }
});

// Behind what needs Alice: baresip 1.1 is of little use after a hold.
describe('a telephone that holds the line', () => {
  test('is silent in the room, its music too, and shown so', async () => {
    const room = await meet();
    await hears(bob, { yes: [ALICE_HZ], no: [BOB_HZ] });

    await alice.hold();

    await happened('Held(ParticipantId(1), true)');
    await hears(bob, { yes: [], no: [ALICE_HZ, BOB_HZ] });
    await silent(bob);
    const { people: all } = await read(room, 'roster');
    assert.deepEqual(all.map(({ held }) => held ?? false), [true, false]);
  });
});

// The last one: nobody answers Bob after it.
describe('who tries one PIN after the other', () => {
  test('is not answered any more after ten wrong ones, whatever the call', async () => {
    for (const tries of [3, 3, 3, 1]) {
      await bob.dial(DEN);
      await bob.established(WAIT_MS);
      const closed = bob.closed(WAIT_MS);
      for (let i = 0; i < tries; i += 1) await bob.dtmf('9#');
      if (tries < 3) await bob.hangUp();
      await closed;
    }

    await bob.dial(DEN);

    assert.match((await bob.closed(WAIT_MS)).param, /^(403|603)/);
  });
});

function configuration(asterisk) {
  return `
[calls]
ring_timeout = "5s"

[[users]]
id = "anna"
name = "Anna"
number = "7001"
${ariToml(asterisk)}
[rooms]
speech = [${JSON.stringify(process.execPath)}, ${JSON.stringify(SPEAKER)}, "Alice", "${ALICES_NAME_HZ}", "Bob", "${BOBS_NAME_HZ}"]

[[rooms.room]]
name = "board"
title = "Board meeting"
number = "${BOARD}"

[[rooms.room]]
name = "den"
number = "${DEN}"
pin = "${PIN}"

[[rooms.room]]
name = "named"
number = "${NAMED}"
announce = "names"
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

/** Waits until a telephone has heard something for half a second, whatever it is. */
function sounds(phone, what) {
  return until(async () => loudness(phone) >= SOUND_MIN, { what: `${phone.state} to hear ${what}`, ms: WAIT_MS, poll: 200 });
}

/** Waits until a telephone has heard nothing for half a second. */
function silent(phone) {
  return until(async () => loudness(phone) < SOUND_MIN / 4, { what: 'silence', ms: WAIT_MS, poll: 200 });
}

/** Tells whether a telephone has heard a tone for half a second, whenever. */
function heardSometime(phone, hz) {
  const { rate, samples } = readWav(phone.heard);
  const len = Math.floor(rate * EXAMINED_S);
  for (let at = 0; at + len <= samples.length; at += len / 2) {
    if (tone(samples.subarray(at, at + len), rate, hz) >= HEARD_MIN) return true;
  }
  return false;
}

/** The RMS of the newest half second. */
function loudness(phone) {
  const { rate, samples } = readWav(phone.heard);
  const part = samples.subarray(-Math.floor(rate * EXAMINED_S));
  return part.length === 0 ? 0 : Math.sqrt(part.reduce((sum, it) => sum + it * it, 0) / part.length);
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

/** Lets a program into the room that telephones meet in; returns its place. */
async function letIn(program) {
  const answer = await fetch(`http://127.0.0.1:${daemon.ports.metrics}/api/v1/rooms/board/programs`, {
    method: 'POST',
    body: JSON.stringify(program),
  });
  assert.equal(answer.status, 201);
  return answer.json();
}

/** Hears a participant of a room, or its mix, by a MoQ client of other makers; returns the share that a tone has. */
async function purity(room, participant, hz, token = daemon.listenerToken(`room/${room}`)) {
  const { url } = await daemon.transport();
  const { stdout } = await promisify(execFile)(LISTENER, [`${url}?token=${token}`, `room/${room}/${participant}`, `${hz}`]);
  const heard = JSON.parse(stdout);
  assert.equal(heard.objects, 100);
  return heard.purity;
}

/** Reads the next object of one of a room's tracks by a MoQ client of other makers. */
async function read(room, track, token = daemon.listenerToken(`room/${room}`)) {
  const { url } = await daemon.transport();
  const { stdout } = await promisify(execFile)(LISTENER, [`${url}?token=${token}`, `room/${room}`, track]);
  return JSON.parse(stdout);
}
