// Browsers and SIP telephones through a real Asterisk: by ARI, and by tickets alone.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { peak } from '../../deploy/asterisk/harness.mjs';
import { isNear, pause } from './lib/ear.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

const HANGUP_MS_MAX = 500;
const PHONE_HZ = 700;
/** What is left of a tone on its way to the telephone and into its WAV file. */
const LEVEL_MIN = 1_000;
/** How long two talk, so that the second half of the recording is all tone. */
const TALK_MS = 3_000;
const ANNA = '7001';
const FIXED_UUID = '40325ec2-5efd-4bd3-805f-53576e581d13';
const USER_BY_UUID = `
[[users]]
id = "dora"
name = "Dora"
number = "7100"
audiosocket = "${FIXED_UUID}"
`;

let site;
let asterisk;
let daemon;
let browser;
let anna;
let alice;

before(async () => {
  site = await startSite({
    asterisk: { fixedUuid: FIXED_UUID },
    toml: (it) => `${ariToml(it)}${USER_BY_UUID}`,
    users: [{ id: 'anna', name: 'Anna', number: ANNA }],
    phones: [{ name: 'alice', hz: PHONE_HZ }],
  });
  ({ asterisk, daemon, browser } = site);
  ({ anna } = site.web);
  ({ alice } = site.sip);
});

after(() => site?.stop());

afterEach(async (context) => {
  if (!context.passed) site?.report();
  await site?.rest();
});

describe('a telephone calls a browser', () => {
  test('it hears ringing until somebody answers; then both hear each other', async () => {
    await alice.dial(ANNA);
    await alice.ringing();
    await anna.see('incoming');
    assert.equal(await anna.text('incoming-name'), 'Alice');
    assert.ok(!seen(alice, 'CALL_ESTABLISHED'), 'the call counted as answered before anybody answered');
    await anna.answer();

    await Promise.all([alice.established(), anna.call('up')]);
    await anna.hears(PHONE_HZ);
    await pause(TALK_MS);
    const closed = alice.closed();
    const at = await anna.clickedAt('call-hangup');
    await closed;
    within(Date.now() - at);
    heard(anna.hz);
  });

  test('it hangs up, and the browser is told at once', async () => {
    await alice.dial(ANNA);
    await anna.answer();
    await Promise.all([alice.established(), anna.call('up')]);
    await anna.hears(PHONE_HZ);

    const gone = anna.moment('call', false);
    const at = Date.now();
    await alice.hangUp();

    within((await gone) - at);
    assert.equal(await anna.ended(), 'normal');
  });

  test('it gives up while it rings, and the browser has a missed call', async () => {
    await alice.dial(ANNA);
    await alice.ringing();
    await anna.see('incoming');

    await alice.hangUp();

    await anna.seeNo('incoming');
    await anna.see('missed-badge');
  });

  test('it is told of a declined call', async () => {
    await alice.dial(ANNA);
    await anna.see('incoming');
    await anna.click('incoming-decline');

    const { param } = await alice.closed();
    assert.match(param, /^(603|486|480|403)/, `the telephone was told ${param}`);
  });

  test('it presses keys during the call', async () => {
    await alice.dial(ANNA);
    await anna.answer();
    await Promise.all([alice.established(), anna.call('up')]);

    await alice.dtmf('159#');

    await anna.wait('the keys 159#', () => /pressed 159#/.test(document.querySelector('[data-testid="call-hint"]').textContent));
  });
});

describe('a browser calls', () => {
  test('600, and hears itself from the echo', async () => {
    await anna.dial('600');
    await anna.call('up');

    await anna.hears(anna.hz);
  });

  test('602, presses keys, and Asterisk reads them', async () => {
    await anna.dial('602');
    await anna.call('up');
    await asterisk.logged(/602@internal:\d+\] Read/);

    await anna.keys('4711');

    await asterisk.logged(/DIGITS=4711/);
  });

  test('604, and hears 1004 Hz', async () => {
    await anna.dial('604');
    await anna.call('up');

    await anna.hears(1004);
  });

  test('610, and hears the tone before the answer, then the one after it', async () => {
    await anna.dial('610');
    await anna.call('early');
    await anna.hears(660);

    await anna.call('up');
    await anna.hears(880);
  });

  test('a telephone, which rings and answers; both hear each other', async () => {
    await anna.dial('1001');
    await alice.incoming();
    await anna.call('ringing');
    await alice.answer();

    await Promise.all([alice.established(), anna.call('up')]);
    await anna.hears(PHONE_HZ);
    await pause(TALK_MS);
    const closed = alice.closed();
    const at = await anna.clickedAt('call-hangup');
    await closed;
    within(Date.now() - at);
    heard(anna.hz);
  });

  for (const [number, cause] of [
    ['605', 'busy'],
    ['607', 'not_found'],
    ['608', 'rejected'],
  ]) {
    test(`${number}, and is told: ${cause}`, async () => {
      await anna.dial(number);

      assert.equal(await anna.ended(), cause);
    });
  }

  test('611, which hangs up itself', async () => {
    await anna.dial('611');
    await anna.call('up');

    assert.equal(await anna.ended(), 'normal');
  });
});

describe('without ARI', () => {
  test('a ticket rings the browser; both hear each other', async () => {
    await alice.dial('8001');
    await anna.see('incoming');
    await anna.answer();

    await Promise.all([alice.established(), anna.call('up')]);
    await anna.hears(PHONE_HZ);
    await pause(TALK_MS);
    const closed = alice.closed();
    const at = await anna.clickedAt('call-hangup');
    await closed;
    within(Date.now() - at);
    heard(anna.hz);
  });

  test('the telephone hangs up, and the browser is told at once', async () => {
    await alice.dial('8001');
    await anna.answer();
    await anna.call('up');
    await anna.hears(PHONE_HZ);

    const gone = anna.moment('call', false);
    const at = Date.now();
    await alice.hangUp();

    within((await gone) - at);
  });

  test('a fixed UUID rings its user', async () => {
    const dora = await browser.phone({ url: daemon.url });
    await dora.signInWith(daemon.token({ id: 'dora', name: 'Dora', number: '7100' }));

    await alice.dial('7900');
    await dora.answer();
    await dora.call('up');
    await dora.hears(PHONE_HZ);

    await dora.hangUp();
    await dora.driver.context.close();
  });

  test('nobody there: the dialplan goes on', async () => {
    await alice.dial('8999');

    await asterisk.logged(/moqrelay: nobody at 7999/);
  });
});

describe('Asterisk restarts', () => {
  test('a call by AudioSocket ends, and the next one works', async () => {
    await anna.dial('604');
    await anna.call('up');

    await asterisk.restart();

    await anna.ended(20_000);
    await anna.dismissEnded();
    await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to come back to ARI', ms: 40_000 });
    await anna.dial('604');
    await anna.call('up');
    await anna.hears(1004);
  });
});

function within(ms) {
  assert.ok(ms <= HANGUP_MS_MAX, `the other side ended after ${ms} ms, at most ${HANGUP_MS_MAX} are allowed`);
}

/** The telephone's recording holds a tone. */
function heard(hz) {
  const { hz: found, level } = peak(alice.heard);
  assert.ok(isNear(found, hz) && level >= LEVEL_MIN, `the telephone heard ${found} Hz at level ${level} instead of ${hz} Hz`);
}

function seen(phone, type) {
  const from = phone.events.findLastIndex((event) => event.type === 'CALL_OUTGOING');
  return phone.events.slice(from + 1).some((event) => event.type === type);
}
