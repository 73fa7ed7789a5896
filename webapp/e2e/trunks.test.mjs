// Numbers and trunks, between two SIP worlds: browser, Asterisk, a provider (Kamailio), a telephone registered there.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { listen, near } from './lib/ear.mjs';
import { asterisksRow, recorded } from './lib/records.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

const CARLA = '493055501';
const CARLA_HZ = 820;
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

let site;
let provider;
let asterisk;
let daemon;
let anna;
let carla;

before(async () => {
  site = await startSite({
    provider: true,
    toml: configuration,
    users: [{ id: 'anna', name: 'Anna', number: '+4930990' }],
    phones: [{ at: 'provider', name: CARLA, hz: CARLA_HZ, codecs: 'PCMA/8000/1' }],
  });
  ({ provider, asterisk, daemon } = site);
  ({ anna } = site.web);
  carla = site.sip[CARLA];
});

after(() => site?.stop());

afterEach(async (context) => {
  if (!context.passed) site?.report();
  await site?.rest();
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
    const [leg] = await recorded(site.records, (line) => line.who.number === `+${CARLA}`);
    const row = await asterisksRow(asterisk, leg.linked_id, '"PJSIP/provider-');
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

    const [leg] = await recorded(site.records, (line) => line.who.number === `+${CARLA}` && line.talked_s === 0);
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

function configuration(asterisk) {
  return `
${ariToml(asterisk)}
[asterisk.ami]
address = "127.0.0.1:${asterisk.ports.ami}"
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
