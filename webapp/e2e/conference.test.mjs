// One room for all: three pages of Chromium, one of Firefox, two SIP telephones on a real Asterisk. Each says a tone of its
// own; each hears the others' and not its own.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { readWav } from '../../deploy/asterisk/harness.mjs';
import { launchChromium } from './lib/chromium.mjs';
import { launchFirefox } from './lib/firefox.mjs';
import { WebRoom } from './lib/room.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

/** Far enough from each other and from each other's harmonics for pages (bins of 3 Hz) and telephones. Firefox has 440. */
const HZ = { anna: 620, bert: 770, carla: 1150, alice: 920, bob: 1370 };
const NUMBER = '7810';
const BOB = '1002';
/** What a phone plays while another one rings. */
const RINGBACK_HZ = 425;
/** A bin of the page's spectrum is 2.93 Hz wide. */
const PAGE_TOLERANCE_HZ = 6;
/** What a tone has at least where a telephone hears it, and at most where not: RMS of the tone alone, 32767 the most. */
const HEARD_MIN = 250;
const UNHEARD_MAX = 40;
const EXAMINED_S = 0.5;
/** Of so many looks a tone that is heard is in some, for sound on a busy machine has gaps, and one that is not in none. */
const LOOKS = 12;
const LOOKS_HEARD = 4;
const LOOK_MS = 200;
const WAIT_MS = 30_000;

let site;
const browsers = {};
const pages = {};
let alice;
let bob;
/** Name to participant. */
let places;

before(async () => {
  site = await startSite({
    toml: (asterisk) => `${ariToml(asterisk)}\n[[rooms.room]]\nname = "board"\ntitle = "Board meeting"\nnumber = "${NUMBER}"\n`,
    phones: ['alice', 'bob'].map((name) => ({ name, hz: HZ[name] })),
  });
  ({ alice, bob } = site.sip);
  const launches = ['anna', 'bert', 'carla'].map(async (name) => {
    browsers[name] = await launchChromium({ hz: HZ[name] });
  });
  launches.push(
    launchFirefox().then((browser) => {
      browsers.fritz = browser;
    }),
  );
  await Promise.all(launches);
  for (const name of ['anna', 'bert', 'carla', 'fritz']) await open(name);
});

after(async () => {
  await Promise.all(Object.values(browsers).map((browser) => browser.close()));
  await site?.stop();
});

afterEach((context) => {
  if (!context.passed) site?.report();
});

describe('three Chromium, one Firefox and two telephones in a room', () => {
  test('all are in the roster, on every side', async () => {
    places = {};
    for (const name of ['anna', 'bert', 'carla', 'fritz']) places[name] = await pages[name].enter('board', { name });
    for (const phone of [alice, bob]) {
      await phone.dial(NUMBER);
      await phone.established(WAIT_MS);
      places[phone === alice ? 'alice' : 'bob'] = `p${Object.keys(places).length + 1}`;
      await people(Object.keys(places).length);
    }

    for (const [name, page] of Object.entries(pages)) {
      await rosterIs(page, Object.values(places), name);
    }
  });

  // Five are heard at a time: who is silent changes, so that each pair is seen.
  for (const silent of ['carla', 'anna']) {
    test(`everyone hears everyone and not themselves while ${silent} is silent`, async () => {
      await mute(silent, true);
      const speaking = Object.keys(places).filter((name) => name !== silent);

      try {
        await Promise.all(
          Object.keys(places).map((name) =>
            hears(
              name,
              speaking.filter((other) => other !== name),
              [silent, name],
            ),
          ),
        );
      } finally {
        await mute(silent, false);
      }
    });
  }

  test('a telephone mutes itself by *6, and all see it', async () => {
    await alice.dtmf('*6');

    for (const page of Object.values(pages)) await page.tile(places.alice, { muted: true }, WAIT_MS);
    await hears('anna', ['bob', 'bert'], ['alice']);
    await hears('bob', ['bert', 'fritz'], ['alice', 'bob']);
    await alice.dtmf('*6');
    for (const page of Object.values(pages)) await page.tile(places.alice, { muted: false }, WAIT_MS);
  });

  test('one telephone leaves, and nobody sees or hears it any more', async () => {
    const closed = bob.closed(WAIT_MS);
    await bob.dtmf('*8');
    await closed;

    for (const page of Object.values(pages)) await page.noTile(places.bob, WAIT_MS);
    delete places.bob;
    await hears('anna', ['alice', 'bert'], ['bob']);
  });

  test('the host calls it, and hears it ring until it does not want to', async () => {
    const { phone } = pages.anna;
    await pages.anna.open('people');
    await phone.driver.fill('[data-testid="dial-out-number"]', BOB);
    await phone.click('dial-out-call');
    await bob.incoming(WAIT_MS);
    await phone.wait('the tone of ringing', (hz) => playing.has(hz), RINGBACK_HZ);

    await bob.hangUp();
    await phone.see(`dial[data-number="${BOB}"][data-state="ended"]`, WAIT_MS);
    await phone.wait('the tone to end', (hz) => !playing.has(hz), RINGBACK_HZ);
  });

  test('a browser that was killed is back', async () => {
    await browsers.bert.kill();
    await pages.anna.tile(places.bert, { presence: 'away' }, WAIT_MS);

    browsers.bert = await launchChromium({ hz: HZ.bert });
    await open('bert');
    const place = await pages.bert.enter('board', { name: 'bert' });

    assert.notEqual(place, places.bert);
    await pages.anna.noTile(places.bert, WAIT_MS);
    places.bert = place;
    for (const [name, page] of Object.entries(pages)) await rosterIs(page, Object.values(places), name);
    await hears('anna', ['bert', 'alice'], ['anna']);
    await hears('bert', ['anna', 'alice'], ['bert']);
  });
});

/** Opens the web phone of one who is signed in. */
async function open(name) {
  const init = name === 'anna' ? watchTones : undefined;
  const phone = await browsers[name].phone({ url: site.daemon.url, init });
  await phone.signInWith(site.daemon.token({ id: name, name }));
  HZ[name] ??= phone.hz;
  pages[name] = new WebRoom(phone);
}

/** In the page: `playing` has the frequencies of the tones that it plays itself. */
function watchTones() {
  globalThis.playing = new Set();
  const { start, stop } = AudioScheduledSourceNode.prototype;
  AudioScheduledSourceNode.prototype.start = function begin(...when) {
    if (this instanceof OscillatorNode) playing.add(this.frequency.value);
    return start.apply(this, when);
  };
  AudioScheduledSourceNode.prototype.stop = function end(...when) {
    if (this instanceof OscillatorNode) playing.delete(this.frequency.value);
    return stop.apply(this, when);
  };
}

async function mute(name, muted) {
  await pages[name].phone.driver.press('m');
  for (const page of Object.values(pages)) await page.tile(places[name], { muted }, WAIT_MS);
}

/** Waits until a page shows these people and no others. */
function rosterIs(page, wanted, name) {
  const shown = () =>
    page.phone.driver.evaluate(() => [...document.querySelectorAll('[data-testid="tile"]')].map((tile) => tile.dataset.participant).sort());
  const sorted = [...wanted].sort().join();
  return until(async () => (await shown()).join() === sorted, { what: `${sorted} on ${name}'s screen`, ms: WAIT_MS });
}

/** Waits until so many are in rooms. */
function people(wanted) {
  const count = async () => Number(/^moqrelay_room_participants (\d+)/m.exec(await site.daemon.metrics())?.[1] ?? 0);
  return until(async () => (await count()) === wanted, { what: `${wanted} in rooms`, ms: WAIT_MS });
}

/** Waits until one has the tones of these in the ear and not of those. */
async function hears(name, yes, no) {
  const look = name in pages ? () => pageHears(pages[name]) : () => phoneHears({ alice, bob }[name]);
  const looks = [];
  const count = (other, kind) => looks.filter((it) => it[kind](HZ[other])).length;
  const right = async () => {
    looks.push(await look());
    if (looks.length > LOOKS) looks.shift();
    const enough = looks.length === LOOKS;
    return enough && yes.every((other) => count(other, 'heard') >= LOOKS_HEARD) && no.every((other) => count(other, 'unheard') === LOOKS);
  };
  await until(right, { what: `${name} to hear ${yes.join()} and not ${no.join()}`, ms: WAIT_MS, poll: LOOK_MS }).catch((error) => {
    const seen = yes.map((other) => `${other} ${count(other, 'heard')}`).join();
    const unseen = no.map((other) => `${other} ${LOOKS - count(other, 'unheard')}`).join();
    throw new Error(`${error.message}: of ${looks.length} looks ${seen} in, ${unseen} too much`);
  });
}

async function pageHears(page) {
  const tones = await page.phone.driver.evaluate(() => __moqrelay.tones());
  const heard = (hz) => tones.some((tone) => Math.abs(tone - hz) <= PAGE_TOLERANCE_HZ);
  return { heard, unheard: (hz) => !heard(hz) };
}

async function phoneHears(phone) {
  const { rate, samples } = readWav(phone.heard);
  const part = samples.subarray(-Math.floor(rate * EXAMINED_S));
  return {
    heard: (hz) => part.length > 0 && tone(part, rate, hz) >= HEARD_MIN,
    unheard: (hz) => part.length > 0 && tone(part, rate, hz) <= UNHEARD_MAX,
  };
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
