// Hold, transfers and calls of three, asked for by the web phone and by SIP telephones, through a real Asterisk.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { startLamp, startTransfer } from '../../deploy/asterisk/harness.mjs';
import { heardAfter, isNear, listen, near, pause, sofar } from './lib/ear.mjs';
import { asterisksRow, recorded } from './lib/records.mjs';
import { ariToml, startSite } from './lib/site.mjs';
import { until } from './lib/wait.mjs';

const RINGING_HZ = 480;
/** Of 614, which never answers; of 610 before and after its answer. */
const EARLY_HZ = 660;
const ANSWERED_HZ = 880;
const ALICE_HZ = 700;
const BOB_HZ = 950;
/** Long enough for a second of talk to be counted. */
const TALK_MS = 2_500;
const ANNA = '7001';
const BERT = '7002';

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
    toml: (it) => ariToml(it, 'unanswered = "dialplan"'),
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

after(() => site?.stop());

afterEach(async (context) => {
  if (!context.passed) site?.report();
  await site?.rest();
});

describe('hold', () => {
  test('a telephone hears music, and then the browser again', async () => {
    await toAlice();

    await anna.click('call-hold');
    await anna.call('held');
    const held = await listen(alice);
    await anna.click('call-hold');
    await anna.call('up');
    const resumed = await listen(alice);

    assert.ok(held.level >= 100, `nothing but ${held.level} is heard on hold`);
    assert.ok(!isNear(held.hz, anna.hz), 'the browser is heard on hold');
    near(resumed, anna.hz);
  });
});

describe('the web phone transfers', () => {
  test('a telephone to another telephone; the two hear each other', async () => {
    await toAlice();

    await transfer('1002');
    await bob.incoming();
    await anna.call('transferring');
    await bob.answer();

    assert.equal(await anna.ended(), 'transferred');
    await bob.established();
    near(await listen(alice), BOB_HZ);
    near(await listen(bob), ALICE_HZ);
    const closed = bob.closed();
    await alice.hangUp();
    await closed;
  });

  test('a telephone to a browser', async () => {
    await toAlice();

    await transfer(BERT);
    await bert.answer();

    assert.equal(await anna.ended(), 'transferred');
    await bert.call('up');
    await bert.hears(ALICE_HZ);
    assert.equal(await bert.text('call-name'), '1001');
  });

  test('to somebody busy: the call is back, and says why', async () => {
    await toAlice();

    await transfer('605');

    await anna.see('notice[data-code="busy"]');
    await anna.call('up');
    await anna.hears(ALICE_HZ);
  });

  test('and takes the call back', async () => {
    await toAlice();
    await transfer('1002');
    await bob.incoming();
    const closed = bob.closed();

    await anna.click('transfer-cancel');

    await closed;
    await anna.call('up');
    await anna.hears(ALICE_HZ);
  });

  test('a telephone, which hears the new one before its answer', async () => {
    await toAlice();
    const before = sofar(alice);

    await transfer('610');

    assert.equal(await anna.ended(), 'transferred');
    near(await listen(alice), ANSWERED_HZ);
    await heardAfter(alice, before, EARLY_HZ);
    const closed = alice.closed();
    await alice.hangUp();
    await closed;
  });

  test('a telephone, which hears ringing while the new one only rings', async () => {
    await toAlice();
    const before = sofar(alice);

    await transfer('606');

    await heardAfter(alice, before, RINGING_HZ);
    await anna.click('transfer-cancel');
    await anna.call('up');
    await anna.hears(ALICE_HZ);
  });

  test('a browser, which hears the new one before its answer, and the old one when nothing comes of it', async () => {
    await anna.callPerson('bert');
    await bert.answer();
    await anna.call('up');

    await transfer('614');
    await bert.call('transferring');
    await bert.hears(EARLY_HZ);
    await anna.click('transfer-cancel');

    await anna.call('up');
    await Promise.all([bert.hears(anna.hz), anna.hears(bert.hz)]);
  });

  test('after a word: who waits hears music while the new one is heard to ring', async () => {
    await toAlice();

    await ask('614');
    await anna.hears(EARLY_HZ);

    const waiting = await listen(alice);
    assert.ok(waiting.level >= 100, `nothing but ${waiting.level} is heard on hold`);
  });

  test('after a word with the other', async () => {
    await toAlice();

    await ask('1002');
    await bob.incoming();
    await bob.answer();
    await anna.see('waiting-connect');
    await anna.hears(BOB_HZ);
    await anna.click('waiting-connect');

    assert.equal(await anna.ended(), 'transferred');
    near(await listen(alice), BOB_HZ);
    near(await listen(bob), ALICE_HZ);
  });

  test('a browser to a telephone, and the browser goes on', async () => {
    await anna.callPerson('bert');
    await bert.answer();
    await anna.call('up');

    await transfer('1001');
    await alice.incoming();
    await bert.call('transferring');
    await alice.answer();

    assert.equal(await anna.ended(), 'transferred');
    await bert.call('up');
    await bert.hears(ALICE_HZ);
    assert.equal(await bert.text('call-name'), '1001');
  });
});

describe('three in one call', () => {
  test('hear each other, and two go on when the third leaves', async () => {
    await toAlice();
    await ask('1002');
    await bob.incoming();
    await bob.answer();
    await anna.see('waiting-merge');

    await anna.click('waiting-merge');
    await anna.seeNo('waiting-call');
    await anna.call('up');
    await anna.click('call-mute');
    near(await listen(alice), BOB_HZ);
    near(await listen(bob), ALICE_HZ);
    await anna.click('call-mute');
    const closed = bob.closed();
    await bob.hangUp();
    await closed;
    await anna.hears(ALICE_HZ);

    near(await listen(alice), anna.hz);
  });
});

describe('a SIP telephone transfers', () => {
  test('the browser to another browser, and is told that it is done', async () => {
    await fromAlice();

    const closed = alice.closed();
    await alice.command('transfer', `sip:${BERT}@127.0.0.1`);
    await anna.call('transferring');
    await bert.answer();

    await closed;
    await Promise.all([anna.call('up'), bert.call('up')]);
    assert.equal(await anna.text('call-name'), 'Bert');
    await anna.hears(bert.hz);
  });

  test('to somebody who declines, and is told so', async () => {
    await fromAlice();

    const failed = alice.next('TRANSFER_FAILED');
    await alice.command('transfer', `sip:${BERT}@127.0.0.1`);
    await bert.see('incoming');
    await bert.click('incoming-decline');

    await failed;
    // The call is back; it is baresip that hangs up after a failed transfer.
    assert.equal(await anna.ended(), 'normal');
  });

  test('that was called through the dialplan, inside Asterisk, and our leg goes on', async () => {
    await toAlice();

    await alice.command('transfer', 'sip:604@127.0.0.1');

    await anna.hears(1004);
    await anna.call('up');
  });
});

describe('a SIP telephone transfers after a word (REFER with Replaces)', () => {
  test('a browser to another one; the two hear each other, and it is told so', async () => {
    const transfer = await startTransfer({ asterisk, first: ANNA, second: BERT });
    try {
      await anna.answer();
      await bert.answer();
      await transfer.up();

      await transfer.told('200');
      await transfer.over();
      await Promise.all([anna.call('up'), bert.call('up')]);
      assert.deepEqual([await anna.text('call-name'), await bert.text('call-name')], ['Bert', 'Anna']);
      await Promise.all([anna.hears(bert.hz), bert.hears(anna.hz)]);
    } finally {
      await transfer.stop();
    }
  });

  test('to a call that nobody knows: it is told so, and both calls go on', async () => {
    const transfer = await startTransfer({ asterisk, first: ANNA, second: BERT, wrong: true });
    try {
      await anna.answer();
      await bert.answer();
      await transfer.up();

      await transfer.told('[45]\\d\\d');
      await Promise.all([anna.call('up'), bert.call('up')]);
      // It sends back what it hears.
      await Promise.all([anna.hears(anna.hz), bert.hears(bert.hz)]);
      await anna.hangUp();
      await bert.hangUp();
      await transfer.over();
    } finally {
      await transfer.stop();
    }
  });
});

describe('the lamp of a SIP telephone', () => {
  test('shows a browser user: there, called, in a call, gone', async () => {
    const lamp = await startLamp({ asterisk, number: BERT });
    try {
      await lamp.shows('terminated');
      await anna.callPerson('bert');
      await lamp.shows('early');
      await bert.answer();
      await lamp.shows('confirmed');
      await anna.hangUp();
      await lamp.shows('terminated');
    } finally {
      await lamp.stop();
    }
  });
});

describe('a call that was sent on', () => {
  test('says for whom it was', async () => {
    await alice.dial('613');
    await anna.see('incoming-via');

    assert.match(await anna.text('incoming-via'), /1002/);
    assert.equal(await anna.text('incoming-name'), 'Alice');
  });
});

describe('a call that nobody answers', () => {
  test('goes on in the dialplan, which knows why', async () => {
    await alice.dial(ANNA);
    await anna.see('incoming');
    await anna.click('incoming-decline');

    await asterisk.logged(/moqrelay: 7001 was not reached: rejected/);
  });

  test('because nobody is there goes on, too', async () => {
    await alice.dial('7999');

    await asterisk.logged(/moqrelay: 7999 was not reached: not_found/);
  });
});

describe('call records', () => {
  test('of a telephone that called say the same as Asterisk, joined by the linked id', async () => {
    await fromAlice();
    await pause(TALK_MS);
    const closed = alice.closed();
    await anna.hangUp();
    await closed;

    const [leg, call] = await recorded(site.records, (line) => line.linked_id !== undefined && line.who.id === '1001');
    const row = await asterisksRow(asterisk, leg.linked_id, '"PJSIP/alice-');

    assert.equal(call.cause, 'normal');
    assert.equal(leg.who.name, 'Alice');
    // Asterisk counts whole seconds from the answer.
    assert.ok(Math.abs(row.billsec - leg.talked_s) <= 1, `${row.billsec} s there, ${leg.talked_s} s here: ${row.rows.join(' ')}`);
  });

  test('of a call that failed have no time of talk', async () => {
    await anna.dial('605');
    assert.equal(await anna.ended(), 'busy');

    const [leg, call] = await recorded(site.records, (line) => line.who.id === '605');

    assert.deepEqual([leg.cause, leg.talked_s, call.talked_s, call.answered_ms], ['busy', 0, 0, undefined]);
  });
});

/** Anna has called Alice; both hear each other. */
async function toAlice() {
  await anna.dial('1001');
  await alice.incoming();
  await alice.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await anna.hears(ALICE_HZ);
}

/** Alice has called Anna; both hear each other. */
async function fromAlice() {
  await alice.dial(ANNA);
  await anna.answer();
  await Promise.all([alice.established(), anna.call('up')]);
  await anna.hears(ALICE_HZ);
}

async function transfer(to) {
  await anna.click('call-transfer');
  await anna.driver.fill('[data-testid="transfer-input"]', to);
  await anna.click('transfer-now');
}

async function ask(to) {
  await anna.click('call-transfer');
  await anna.driver.fill('[data-testid="transfer-input"]', to);
  await anna.click('transfer-ask');
}
