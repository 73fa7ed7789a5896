// How long a call takes from the click to the first sound on both sides.
import { startAsterisk } from '../../../deploy/asterisk/harness.mjs';
import { launchChromium } from '../lib/chromium.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from '../lib/daemon.mjs';
import { until } from '../lib/wait.mjs';
import { requireTree, withAri } from './asterisk.mjs';
import { REHEARSALS, click, firstSound, ms, verdict } from './moments.mjs';
import { clockOffset, install, percentile } from './page.mjs';

const P95_MS_MAX = 1_000;

const goal = 'p95 ≤ 1 s';

export const setupAmongBrowsers = {
  rows: [
    {
      what: 'call set-up, browser to browser',
      goal,
      method:
        'Two Chromiums with a tone in their microphones; from the click on the person, who answers by a script as soon as the ' +
        "button is there, to the later one of both worklets' first sound of the other.",
    },
  ],
  async run({ calls }) {
    const daemon = await startDaemon();
    const browsers = await Promise.all([440, 620].map((hz) => launchChromium({ hz })));
    try {
      const [anna, bert] = await Promise.all(browsers.map((browser) => browser.phone({ url: daemon.url, init: install })));
      await anna.signIn('Anna');
      await bert.signIn('Bert');
      await anna.see('person[data-user="bert"][data-state="available"]');
      const button = '[data-testid="person"][data-user="bert"] [data-testid="person-call"]';
      const took = [];
      const sides = [[], []];
      for (let n = 0; n < REHEARSALS + calls; n += 1) {
        const offsets = await Promise.all([anna, bert].map(clockOffset));
        const answered = click(bert, '[data-testid="incoming-answer"]');
        const at = (await click(anna, button)) - offsets[0].ms;
        await answered;
        const firsts = await Promise.all([anna, bert].map((phone, side) => firstSound(phone, at, offsets[side])));
        if (n >= REHEARSALS) {
          took.push(Math.max(...firsts) - at);
          firsts.forEach((first, side) => sides[side].push(first - at));
        }
        await rest(anna, bert);
      }
      const [caller, callee] = sides.map((times) => `p50 ${ms(percentile(times, 0.5))}, p95 ${ms(percentile(times, 0.95))}`);
      const notes = [`caller hears after ${caller}`, `callee after ${callee}`];
      return [verdict(took, { most: P95_MS_MAX, of: 'calls', notes })];
    } finally {
      await Promise.all(browsers.map((browser) => browser.close()));
      await daemon.stop();
    }
  },
};

export const setupToAsterisk = {
  rows: [
    {
      what: 'call set-up, browser to Asterisk',
      goal,
      method:
        "A real Asterisk 22 by ARI; from the click that dials 600 (Asterisk's echo) to the worklet's first sound of the own " +
        'microphone: the tone has then been in Asterisk and come back, so both ways and the echo are in it.',
    },
  ],
  async run({ calls }) {
    requireTree();
    const ports = await freePorts();
    const asterisk = await startAsterisk({
      audiosocket: `127.0.0.1:${ports.audiosocket}`,
      api: `http://127.0.0.1:${ports.http}`,
      secret: ASTERISK_SECRET,
    });
    let daemon;
    let browser;
    try {
      daemon = await startDaemon({ ports, toml: withAri(asterisk) });
      await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
      browser = await launchChromium({ hz: 440 });
      const anna = await browser.phone({ url: daemon.url, init: install });
      await anna.signInWith(daemon.token({ id: 'anna', name: 'Anna', number: '7001' }));
      const took = [];
      for (let n = 0; n < REHEARSALS + calls; n += 1) {
        await anna.driver.fill('[data-testid="dial-input"]', '600');
        const offset = await clockOffset(anna);
        const at = (await click(anna, '[data-testid="dial-call"]')) - offset.ms;
        const first = await firstSound(anna, at, offset);
        if (n >= REHEARSALS) took.push(first - at);
        await rest(anna);
      }
      return [verdict(took, { most: P95_MS_MAX, of: 'calls' })];
    } finally {
      await browser?.close();
      await daemon?.stop();
      await asterisk.stop();
    }
  },
};

async function rest(...phones) {
  await Promise.all(phones.map((phone) => phone.rest()));
  await Promise.all(phones.map((phone) => phone.hearsNothing()));
}
