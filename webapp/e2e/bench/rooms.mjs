// Rooms of many, in the ear of one who is in them: how soon a voice is heard after joining, and after somebody else begins to speak.
import { launchChromium } from '../lib/chromium.mjs';
import { startDaemon } from '../lib/daemon.mjs';
import { WebRoom } from '../lib/room.mjs';
import { REHEARSALS, click, firstSound, verdict } from './moments.mjs';
import { clockOffset, install } from './page.mjs';

const JOIN_P95_MS_MAX = 400;
const SWITCH_P95_MS_MAX = 300;
/** Two beside each other, so that each change takes the seat of who spoke before. */
const TALKERS = ['Anna', 'Bert'];
/** A turn is longer than a word, and shorter than the 2 s after which a steady tone counts as noise. */
const TURN_MS = 1_200;
/** Longer than the 100 ms by which a new sound is told from the one before; varied, so that turns begin anywhere in a packet. */
const PAUSE_MS = 300;
const PAUSE_STEP_MS = 7;

export const roomJoin = {
  rows: [
    {
      what: 'joining a room, to the first voice',
      goal: `p95 ≤ ${JOIN_P95_MS_MAX} ms`,
      method:
        'Two Chromiums; one sounds in the room, the other stands at its door with the microphone open, as people do. From the ' +
        "click on the door's button to the worklet's first sound: asking for the place, subscribing to the seats, decoder and jitter buffer.",
    },
  ],
  async run({ calls }) {
    const daemon = await startDaemon();
    const browsers = await Promise.all([440, 620].map((hz) => launchChromium({ hz })));
    try {
      const [anna, bert] = await Promise.all(browsers.map((browser) => browser.phone({ url: daemon.url, init: install })));
      await anna.signIn('Anna');
      await bert.signIn('Bert');
      await new WebRoom(anna).enter('bench');
      const room = new WebRoom(bert);
      const took = [];
      for (let n = 0; n < REHEARSALS + calls; n += 1) {
        await room.door('bench');
        await bert.wait('the microphone', () => __moqrelay.microphone().name === 'open');
        await bert.driver.evaluate(() => __moqrelay.probe());
        const offset = await clockOffset(bert);
        const at = (await click(bert, '[data-testid="door-join"]')) - offset.ms;
        const first = await firstSound(bert, at, offset);
        if (n >= REHEARSALS) took.push(first - at);
        await room.leave();
        await bert.hearsNothing();
      }
      return [verdict(took, { most: JOIN_P95_MS_MAX, of: 'times' })];
    } finally {
      await Promise.all(browsers.map((browser) => browser.close()));
      await daemon.stop();
    }
  },
};

export const roomSwitch = {
  rows: [
    {
      what: 'change of the speaker in a room',
      goal: `p95 ≤ ${SWITCH_P95_MS_MAX} ms`,
      method:
        'Two who speak in turn, one who listens, and a single seat, so that each turn takes it from the other. From the moment at ' +
        "which a talker's sound source is switched on in its page to the listener's worklet's first sound of it.",
    },
    {
      what: 'the same, to the ring about the tile',
      goal: `p95 ≤ ${SWITCH_P95_MS_MAX} ms`,
      method: "Same run. To the change of the tile in the listener's document.",
    },
  ],
  async run({ calls }) {
    const daemon = await startDaemon({ toml: '\n[rooms]\nseats = 1\n' });
    const browser = await launchChromium({ hz: 440 });
    try {
      const talkers = [];
      for (const name of TALKERS) {
        const phone = await browser.phone({ url: daemon.url, init: source });
        await phone.signIn(name);
        const participant = await new WebRoom(phone).enter('bench');
        await phone.wait('the microphone', () => __moqrelay.microphone().name === 'open');
        talkers.push({ phone, participant, offset: await clockOffset(phone) });
      }
      const ear = await browser.phone({ url: daemon.url, init: install });
      await ear.signIn('Carla');
      await new WebRoom(ear).enter('bench', { listen: true });
      await ear.driver.evaluate(() => __moqrelay.probe());
      const heard = [];
      const seen = [];
      for (let n = 0; n < REHEARSALS + calls; n += 1) {
        const { phone, participant, offset: theirs } = talkers[n % talkers.length];
        const offset = await clockOffset(ear);
        const ring = ear.moment(`tile[data-participant="${participant}"][data-speaking="true"]`);
        // Its failure belongs to where it is waited for.
        ring.catch(() => {});
        const at = (await phone.driver.evaluate(() => __bench.say(true))) - theirs.ms;
        const first = await firstSound(ear, at, offset);
        const shown = (await ring) - offset.ms;
        if (n >= REHEARSALS) {
          heard.push(first - at);
          seen.push(shown - at);
        }
        await pause(TURN_MS);
        await phone.driver.evaluate(() => __bench.say(false));
        await ear.seeNo(`tile[data-participant="${participant}"][data-speaking="true"]`);
        await pause(PAUSE_MS + PAUSE_STEP_MS * (n % 10));
      }
      return [heard, seen].map((took) => verdict(took, { most: SWITCH_P95_MS_MAX, of: 'turns' }));
    } finally {
      await browser.close();
      await daemon.stop();
    }
  },
};

/** Runs in a talker's page before anything else: the microphone is a tone that is switched on and off. */
function source() {
  const time = () => performance.timeOrigin + performance.now();
  const context = new AudioContext();
  const tone = new OscillatorNode(context, { frequency: 440 });
  const gain = new GainNode(context, { gain: 0 });
  const end = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
  tone.connect(gain).connect(end);
  tone.start();
  const say = (on) => {
    gain.gain.value = on ? 0.4 : 0;
    return time();
  };
  Object.defineProperty(globalThis, '__bench', { value: { time, say } });
  // A clone, so that the page may stop what it was given.
  MediaDevices.prototype.getUserMedia = () => Promise.resolve(end.stream.clone());
}

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
