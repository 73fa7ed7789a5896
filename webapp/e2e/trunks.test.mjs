// Numbers and trunks, between two SIP worlds: browser, Asterisk, a provider (Kamailio), a telephone registered there.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { peak, startAsterisk, startPhone, startProvider } from '../../deploy/asterisk/harness.mjs';
import { launchChromium } from './lib/chromium.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from './lib/daemon.mjs';
import { until } from './lib/wait.mjs';

const CARLA = '493055501';
const CARLA_HZ = 820;
const TOLERANCE_HZ = 5;
const LEVEL_MIN = 500;
/** Long enough for the tone to be most of what is examined. */
const TALK_MS = 2_500;
/** A busy machine takes a while to notice what happens once a second. */
const STATE_MS = 30_000;

/** What becomes of a call that the other side answers with a SIP status. */
const STATUSES = [
  [403, 'rejected'],
  [404, 'not_found'],
  [408, 'no_answer'],
  [410, 'not_found'],
  [480, 'no_answer'],
  [484, 'not_found'],
  [486, 'busy'],
  [488, 'failed'],
  [500, 'unreachable'],
  [502, 'unreachable'],
  [503, 'unreachable'],
  [600, 'busy'],
  [603, 'rejected'],
  [604, 'not_found'],
];

const folder = mkdtempSync(join(tmpdir(), 'moqrelay-trunks-'));
const RECORDS = join(folder, 'calls.jsonl');

let provider;
let asterisk;
let daemon;
let browser;
let anna;
let carla;

before(async () => {
  const ports = await freePorts();
  provider = await startProvider();
  asterisk = await startAsterisk({
    provider,
    audiosocket: `127.0.0.1:${ports.audiosocket}`,
    api: `http://127.0.0.1:${ports.http}`,
    secret: ASTERISK_SECRET,
  });
  daemon = await startDaemon({ ports, toml: configuration(asterisk) });
  await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
  browser = await launchChromium({ hz: 440 });
  anna = await browser.phone({ url: daemon.url });
  await anna.signInWith(daemon.token({ id: 'anna', name: 'Anna', number: '+4930990' }));
  carla = await startPhone({ asterisk: provider.world, name: CARLA, hz: CARLA_HZ, codecs: 'PCMA/8000/1' });
});

after(async () => {
  await carla?.stop();
  await browser?.close();
  const status = await daemon?.stop();
  rmSync(folder, { recursive: true, force: true });
  const channels = asterisk === undefined ? '' : await asterisk.cli('core show channels');
  await asterisk?.stop();
  await provider?.stop();
  if (daemon !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
  assert.match(channels, /^0 active channels/m, 'a channel is left in Asterisk');
});

afterEach(async (context) => {
  if (!context.passed && daemon !== undefined) {
    console.error(daemon.log().split('\n').slice(-50).join('\n'));
    console.error(asterisk.log().split('\n').slice(-30).join('\n'));
    console.error(provider.log().split('\n').slice(-20).join('\n'));
  }
  await anna?.rest();
  await carla?.hangUp().catch(() => {});
});

describe('a trunk', () => {
  test('is listed with its endpoint and its registration', async () => {
    const trunk = await trunkThat('is registered', (it) => it.registration_state === 'registered' && it.endpoint_state === 'online');

    assert.deepEqual(
      [trunk.name, trunk.up, trunk.fault, trunk.endpoint, trunk.registration],
      ['provider', true, null, 'PJSIP/provider', 'provider'],
    );
    assert.match(await daemon.metrics(), /^moqrelay_trunk_up\{trunk="provider"\} 1$/m);
  });
});

describe('a call by the trunk', () => {
  test('rings at the provider\'s telephone, with our number, in the form that it wants', async () => {
    await anna.dial('03055501');
    const incoming = await carla.incoming();
    await carla.answer();
    await Promise.all([carla.established(), anna.call('up')]);

    assert.match(incoming.peeruri, /^sip:4930990@/);
    assert.equal(await anna.text('call-name'), `+${CARLA}`);
    await anna.hears(CARLA_HZ);
    near(await listen(carla), anna.hz);
    await anna.click('quality');
    await anna.see('stat-telephone-from[data-mos^="4"]', STATE_MS);
    const closed = carla.closed();
    await anna.hangUp();
    await closed;
    await anna.see('ended-quality');
    const leg = await recorded((line) => line.who.number === `+${CARLA}`);
    const row = await asterisksRow(leg.linked_id, '"PJSIP/provider-');
    assert.equal(leg.trunk, 'provider');
    assert.equal(leg.sound.road, 'audiosocket');
    assert.ok(leg.sound.from_telephone.mos >= 4, JSON.stringify(leg.sound));
    assert.ok(Math.abs(row.billsec - leg.talked_s) <= 1, `${row.billsec} s there, ${leg.talked_s} s here: ${row.rows.join(' ')}`);
  });

  test('that the provider\'s telephone declines says so, and has no time of talk', async () => {
    await anna.dial(`+${CARLA}`);
    await carla.incoming();
    await carla.hangUp();

    const cause = await anna.ended();

    const leg = await recorded((line) => line.who.number === `+${CARLA}` && line.talked_s === 0);
    assert.deepEqual([cause, leg.cause, leg.answered_ms], ['busy', 'busy', undefined]);
  });

  test('for a number that the provider does not know', async () => {
    await anna.dial('03055509');

    assert.equal(await anna.ended(), 'not_found');
  });
});

describe('what the provider says', () => {
  // The table of docs/telephony.md.
  for (const [status, cause] of STATUSES) {
    test(`${status} is ${cause} in the browser`, async () => {
      await anna.dial(`+49305550${status}`);

      assert.equal(await anna.ended(), cause);
    });
  }

  test('is told of a browser that declines, and of a number that nobody has', async () => {
    await carla.dial('4930990');
    await anna.see('incoming');
    await anna.click('incoming-decline');
    assert.match((await carla.closed()).param, /^403/);

    await carla.dial('4930999');
    assert.match((await carla.closed()).param, /^404/);
  });
});

describe('a call from the provider', () => {
  test('rings in the browser, and shows a number that can be called back', async () => {
    await carla.dial('4930990');
    await anna.see('incoming');
    assert.equal(await anna.text('incoming-name'), `+${CARLA}`);
    assert.ok(!(await anna.has('incoming-via')), 'nobody has sent it on');
    await anna.answer();
    await Promise.all([carla.established(), anna.call('up')]);

    await anna.hears(CARLA_HZ);
    near(await listen(carla), anna.hz);
    const closed = carla.closed();
    await anna.hangUp();
    await closed;
  });

  test('that was sent on there says for whom it was', async () => {
    await carla.dial('4930992');
    await anna.see('incoming-via');

    assert.match(await anna.text('incoming-via'), /\+4930992/);
  });
});

describe('digits', () => {
  test('go out as a whole string with pauses, each once', async () => {
    await anna.dial('602');
    await anna.call('up');
    await asterisk.logged(/602@internal:\d+\] Read/);

    await anna.click('call-keypad');
    await anna.driver.fill('[data-testid="dtmf-input"]', '1, 2,,3#');
    await anna.click('dtmf-send');

    await asterisk.logged(/DIGITS=123\b/, STATE_MS);
    assert.equal(await anna.text('dtmf-digits'), '1w2ww3#');
  });

  test('come in as a whole string, each once', async () => {
    await anna.dial('603');
    await anna.call('up');

    await anna.wait('the string', () => document.querySelector('[data-testid="call-hint"]')?.textContent.includes('159#*D'), null, STATE_MS);
  });
});

describe('numbers', () => {
  test('that are blocked are refused in words, and counted', async () => {
    await anna.dial('0900123456');

    assert.equal(await anna.ended(), 'blocked');
    assert.match(await daemon.metrics(), /^moqrelay_control_requests_refused_total\{code="blocked"\} 1$/m);
  });

  test('that call for help go out as they were dialled', async () => {
    await anna.dial('112');

    // The provider of the tests has no police.
    assert.equal(await anna.ended(), 'not_found');
    await provider.logged(/provider: pbx calls 112 as 4930990/);
  });

  test('of the house go their own way', async () => {
    await anna.dial('604');

    await anna.call('up');
    await anna.hears(1004);
  });
});

describe('a provider that is gone', () => {
  test('is told in words before anything is dialled, and back when it is back', async () => {
    await provider.stop();
    const down = await trunkThat('is down', (it) => !it.up);
    assert.match(down.fault, /does not answer/);
    assert.match(await daemon.metrics(), /^moqrelay_trunk_up\{trunk="provider"\} 0$/m);

    await anna.dial('03055501');
    assert.equal(await anna.ended(), 'trunk_down');

    await provider.start();
    await trunkThat('is up again', (it) => it.up);
  });
});

function configuration({ ari, ports }) {
  return `
[calls]
records = "${RECORDS}"

[asterisk.ari]
url = "${ari.url}"
user = "${ari.user}"
password = "${ari.password}"
dial = "Local/{number}@internal/n"

[asterisk.ami]
address = "127.0.0.1:${ports.ami}"
user = "moqrelay"
password = "moqrelay-ami-password"

[asterisk.numbers]
region = "DE"
blocked = ["+49900"]

[[asterisk.trunks]]
name = "provider"
dial = "PJSIP/{number}@provider"
prefixes = ["+"]
form = "digits"
emergency = true
caller_number = "4930990"
registration = "provider"
`;
}

/** Waits until the trunk is as wanted; returns it. */
async function trunkThat(what, fits) {
  let trunk;
  const look = async () => {
    const answer = await fetch(`http://127.0.0.1:${daemon.ports.metrics}/api/v1/trunks`);
    [trunk] = (await answer.json()).trunks;
    return fits(trunk);
  };
  await until(look, { what: `the trunk that ${what}`, ms: STATE_MS }).catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(trunk)}`);
  });
  return trunk;
}

/** Waits for the last leg's record that fits. */
async function recorded(fits) {
  let leg;
  const look = async () => {
    const lines = readFileSync(RECORDS, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
    leg = lines.findLast((line) => line.record === 'leg' && fits(line));
    return leg !== undefined;
  };
  await until(look, { what: 'the record' });
  return leg;
}

/** Returns what Asterisk's own records say of a channel: how long it was up. */
async function asterisksRow(linkedId, channel) {
  let rows = [];
  const look = async () => {
    const text = readFileSync(join(asterisk.state, 'log', 'cdr-csv', 'Master.csv'), 'utf8');
    rows = text.split('\n').filter((line) => line.includes(`"${linkedId}"`) && line.includes(channel));
    return rows.length > 0;
  };
  await until(look, { what: `Asterisk's record ${linkedId}` });
  const billsec = rows.map((row) => Number(/,(\d+),(\d+),"/.exec(row)?.[2] ?? 0));
  return { billsec: Math.max(...billsec), rows };
}

/** Returns the loudest tone that a telephone hears from now on. */
async function listen(phone) {
  await new Promise((resolve) => setTimeout(resolve, TALK_MS));
  const { seconds } = peak(phone.heard);
  return peak(phone.heard, { from: Math.max(0, seconds - 1), seconds: 1 });
}

function near({ hz, level }, wanted) {
  assert.ok(Math.abs(hz - wanted) <= TOLERANCE_HZ && level >= LEVEL_MIN, `the telephone heard ${hz} Hz at level ${level} instead of ${wanted} Hz`);
}
