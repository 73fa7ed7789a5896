// What a telephone system does beside calls: forwarding, do not disturb, parking, picking up, lamps of telephones in the
// page, messages; asked for by the web phone and by SIP telephones, through a real Asterisk.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { startLamp } from '../../deploy/asterisk/harness.mjs';
import { isNear, listen, near } from './lib/ear.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

const ALICE_HZ = 700;
const BOB_HZ = 950;
const ANNA = '7001';
const BERT = '7002';
/** The first slot. */
const SLOT = '701';

const folder = mkdtempSync(join(tmpdir(), 'moqrelay-rules-'));

let site;
let asterisk;
let daemon;
let browser;
let anna;
let bert;
let alice;
let bob;

before(async () => {
  site = await startSite({
    toml: configuration,
    users: [
      { id: 'anna', name: 'Anna', number: ANNA },
      { id: 'bert', name: 'Bert', number: BERT },
    ],
    phones: [
      { name: 'alice', hz: ALICE_HZ },
      { name: 'bob', hz: BOB_HZ },
    ],
  });
  ({ asterisk, daemon, browser } = site);
  ({ anna, bert } = site.web);
  ({ alice, bob } = site.sip);
});

after(async () => {
  await site?.stop();
  rmSync(folder, { recursive: true, force: true });
});

afterEach(async (context) => {
  if (!context.passed) site?.report();
  await site?.rest();
});

describe('forwarding', () => {
  test('set in the web phone sends a telephone\'s call to another telephone, with Diversion', async () => {
    await forward(anna, 'always', '1002');
    await anna.see('forwarded');

    await alice.dial(ANNA);
    await bob.incoming();
    await bob.answer();
    await alice.established();

    near(await listen(alice), BOB_HZ);
    await asterisk.logged(/sent on by 7001, cfu/);
    const closed = bob.closed();
    await alice.hangUp();
    await closed;
    await forward(anna, 'always', '');
    await anna.seeNo('forwarded');
  });

  test('when nobody answers sends a browser\'s call on, and the caller sees to whom', async () => {
    await forward(bert, 'no_answer', '1002', 3);

    await anna.callPerson('bert');
    await bert.see('incoming');
    await bob.incoming();
    await bert.seeNo('incoming');
    await bob.answer();

    await anna.call('up');
    assert.equal(await anna.text('call-name'), '1002');
    await anna.hears(BOB_HZ);
    await anna.hangUp();
    await forward(bert, 'no_answer', '');
  });

  test('set by the code of the desk telephone is shown in the web phone, and outlives the daemon', async () => {
    await bob.dial('*721002');
    await bob.established();
    await bob.closed();
    await anna.see('forwarded');

    await daemon.restart();
    await Promise.all([anna.ready(), bert.ready()]);
    await site.knownToAsterisk();
    await anna.see('forwarded');
    await alice.dial(ANNA);
    await bob.incoming();
    const given = alice.closed();
    await bob.hangUp();
    await given;

    await bob.dial('*73');
    await bob.established();
    await bob.closed();
    await anna.seeNo('forwarded');
  });

  test('a telephone that is nobody\'s may set nothing', async () => {
    await alice.dial('*721002');

    assert.match((await alice.closed()).param, /^(403|603)/);
    assert.equal(await anna.has('forwarded'), false);
  });
});

describe('do not disturb', () => {
  test('by the code of the desk telephone: lamp, page and callers know; the telephone ends it', async () => {
    const lamp = await startLamp({ asterisk, number: ANNA });
    try {
      await lamp.shows('terminated');
      await bob.dial('*78');
      await bob.established();
      await bob.closed();

      await lamp.shows('confirmed');
      await anna.wait('do not disturb', () => document.querySelector('[data-testid="me-state"]').value === 'busy');
      await bert.see('person[data-user="anna"][data-state="busy"]');
      await alice.dial(ANNA);
      assert.match((await alice.closed()).param, /^486/);

      await bob.dial('*79');
      await bob.established();
      await bob.closed();
      await lamp.shows('terminated');
      await bert.see('person[data-user="anna"][data-state="available"]');
    } finally {
      await lamp.stop();
    }
  });
});

describe('parking', () => {
  test('by the web phone: music, shown to all, taken by a telephone that dials the slot', async () => {
    await toAlice();

    await park(anna);
    assert.equal(await anna.ended(), 'transferred');
    await bert.see(`parked[data-slot="${SLOT}"]`);
    const music = await listen(alice);
    assert.ok(music.level >= 100, `nothing but ${music.level} is heard while it waits`);
    assert.ok(!isNear(music.hz, anna.hz), 'the browser is still heard');

    await bob.dial(SLOT);
    await bob.established();
    await bert.seeNo('parked');
    near(await listen(alice), BOB_HZ);
    near(await listen(bob), ALICE_HZ);
    const closed = bob.closed();
    await alice.hangUp();
    await closed;
  });

  test('by a telephone that transfers to the lot; the other browser takes it from its list', async () => {
    await alice.dial(ANNA);
    await anna.answer();
    await Promise.all([alice.established(), anna.call('up')]);
    await anna.hears(ALICE_HZ);

    const closed = alice.closed();
    await alice.command('transfer', 'sip:700@127.0.0.1');
    await closed;
    await bert.see(`parked[data-slot="${SLOT}"]`);
    await bert.click(`parked[data-slot="${SLOT}"] [data-testid="parked-take"]`);

    await Promise.all([anna.call('up'), bert.call('up')]);
    await anna.hears(bert.hz);
    assert.deepEqual([await anna.text('call-name'), await bert.text('call-name')], ['Bert', 'Anna']);
  });

  test('too long rings back at who has parked it', async () => {
    await toAlice();
    await park(anna);
    await anna.ended();

    await anna.see('incoming', 20_000);
    await anna.answer();

    await anna.call('up');
    await anna.hears(ALICE_HZ);
    near(await listen(alice), anna.hz);
  });
});

describe('picking up', () => {
  test('a telephone takes a call that rings in the web phone', async () => {
    await anna.callPerson('bert');
    await bert.see('incoming');

    await bob.dial(`*8${BERT}`);
    await bob.established();

    await bert.seeNo('incoming');
    await anna.call('up');
    await anna.hears(BOB_HZ);
    near(await listen(bob), anna.hz);
  });

  test('the web phone takes a telephone\'s call that rings elsewhere', async () => {
    await alice.dial(BERT);
    await bert.see('incoming');

    await anna.dial(`*8${BERT}`);
    await anna.call('up');

    await bert.seeNo('incoming');
    await alice.established();
    await anna.hears(ALICE_HZ);
    near(await listen(alice), anna.hz);
  });

  test('where nothing rings is refused in words', async () => {
    await anna.dial(`*8${BERT}`);

    assert.equal(await anna.ended(), 'not_found');
  });
});

describe('a second call', () => {
  test('waits visibly, is taken, and the first is held meanwhile', async () => {
    await toAlice();

    await bob.dial(ANNA);
    await bob.ringing();
    await anna.see('incoming');
    await anna.click('incoming-answer');
    await bob.established();

    await anna.see('waiting-call[data-state="held"]');
    await anna.hears(BOB_HZ);
    const held = await listen(alice);
    assert.ok(!isNear(held.hz, anna.hz), 'the first call still hears the browser');
    const closed = bob.closed();
    await bob.hangUp();
    await closed;
    await anna.seeNo('waiting-call');
  });
});

describe('telephones of Asterisk', () => {
  test('are shown in the web phone: there, ringing, in a call', async () => {
    const shows = (state) => bert.see(`person[data-user="1001"][data-state="${state}"]`);
    await shows('available');

    await anna.dial('1001');
    await alice.incoming();
    await shows('ringing');
    await alice.answer();
    await shows('busy');
    await anna.hangUp();
    await shows('available');
    await bert.see('person[data-user="1009"][data-state="offline"]');
  });
});

describe('messages that wait', () => {
  test('light the web phone and the desk telephone, until they are deleted', async () => {
    const lamp = await startLamp({ asterisk, number: 'bob', of: 'messages' });
    try {
      await lamp.shows('no');
      await alice.dial('620');
      await alice.established();
      await asterisk.logged(/Recording the message/i, 30_000);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      await alice.hangUp();

      await anna.see('messages');
      assert.equal(await bert.has('messages'), false);
      await lamp.shows('yes');

      await anna.click('messages-hear');
      await anna.call('up');
      await deleteMessage();
      await anna.hangUp();

      await anna.seeNo('messages', 20_000);
      await lamp.shows('no');
    } finally {
      await lamp.stop();
    }
  });
});

function configuration(asterisk) {
  return `
[calls]
rules = "${join(folder, 'rules.json')}"
park = "700"
park_timeout = "5s"
pick_up = "*8"

${ariToml(asterisk, 'mailbox = "{number}@default"\nvoicemail = "*97"')}
[[asterisk.lines]]
number = "1001"
name = "Alice"
device = "PJSIP/alice"

[[asterisk.lines]]
number = "1009"
name = "Store"
device = "PJSIP/store"

[[users]]
id = "anna"
name = "Anna"
number = "${ANNA}"

[[users]]
id = "bert"
name = "Bert"
number = "${BERT}"
`;
}

/** Opens the settings, says where calls go, and closes them. */
async function forward(phone, rule, to, after) {
  await phone.click('settings');
  await phone.see(`forward-${rule}`);
  const type = (testid, value) =>
    phone.driver.evaluate(
      ([selector, text]) => {
        const field = document.querySelector(selector);
        field.value = text;
        field.dispatchEvent(new Event('change', { bubbles: true }));
      },
      [`[data-testid="${testid}"]`, value],
    );
  if (after !== undefined) await type('forward-after', `${after}`);
  await type(`forward-${rule}`, to);
  await phone.wait(`the rule ${rule}`, ([key, value]) => (__moqrelay.rules()[key] ?? '') === value, [rule, to]);
  await phone.click('settings-close');
}

async function park(phone) {
  await phone.click('call-transfer');
  await phone.click('call-park');
}

/** Anna has called Alice; both hear each other. */
async function toAlice() {
  await anna.dial('1001');
  await alice.incoming();
  await alice.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await anna.hears(ALICE_HZ);
}

/** Presses the keys of the voice mail until it says that the message is deleted. */
async function deleteMessage() {
  const deleted = () => /vm-deleted|vm-msgdeleted/.test(asterisk.log());
  const step = async () => {
    await anna.keys('1');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await anna.keys('7');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return deleted();
  };
  await until(step, { what: 'the message to be deleted', ms: 30_000 });
}
