// Browsers among themselves and with the built-in parties; no Asterisk.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { freePorts, startDaemon } from './lib/daemon.mjs';
import { connect, endsWithin, hearEachOther } from './lib/phone.mjs';
import { startProxy } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const HANGUP_MS_MAX = 500;
const MILLIWATT_HZ = 1004;

let daemon;
let browsers = [];
let anna;
let bert;

before(async () => {
  daemon = await startDaemon();
  browsers = await Promise.all([440, 620].map((hz) => launchChromium({ hz })));
  [anna, bert] = await Promise.all(browsers.map((browser) => browser.phone({ url: daemon.url })));
  await anna.signIn('Anna');
  await bert.signIn('Bert');
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  const status = await daemon?.stop();
  if (daemon !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
});

afterEach(async (context) => {
  await Promise.all([anna, bert].map((phone) => phone?.rest()));
  if (!context.passed && daemon !== undefined) console.error(daemon.log().split('\n').slice(-40).join('\n'));
});

describe('being there', () => {
  test('who types a name gets a number and is seen by the others', async () => {
    assert.match(anna.number, /^70\d\d$/);
    assert.notEqual(anna.number, bert.number);
    await anna.see('person[data-user="bert"][data-state="available"]');
    await bert.see('person[data-user="anna"][data-state="available"]');
  });

  test('a name that is used now is refused in words', async (context) => {
    const stranger = await guest(context, browsers[0], { url: daemon.url });

    await stranger.driver.fill('[data-testid="sign-in-name"]', 'Bert');
    await stranger.click('sign-in-submit');

    await stranger.wait('the refusal', () => /somebody else/i.test(document.querySelector('[data-testid="sign-in-hint"]').textContent));
  });

  test('do not disturb is seen by others and turns calls away', async () => {
    await bert.driver.evaluate(() => {
      const select = document.querySelector('[data-testid="me-state"]');
      select.value = 'busy';
      select.dispatchEvent(new Event('change', { bubbles: true }));
    });
    await anna.see('person[data-user="bert"][data-state="busy"]');

    await anna.callPerson('bert');
    assert.equal(await anna.ended(), 'busy');

    await bert.driver.evaluate(() => {
      const select = document.querySelector('[data-testid="me-state"]');
      select.value = 'available';
      select.dispatchEvent(new Event('change', { bubbles: true }));
    });
    await anna.see('person[data-user="bert"][data-state="available"]');
  });
});

describe('one person alone', () => {
  test('hears herself from the echo', async () => {
    await anna.click('service-echo');
    await anna.call('up');

    await anna.hears(anna.hz);
  });

  test('hears the test tone', async () => {
    await anna.click('service-milliwatt');
    await anna.call('up');

    await anna.hears(MILLIWATT_HZ);
    await anna.wait('figures', () => /\d+ ms/.test(document.querySelector('[data-testid="quality"]')?.dataset.grade === 'unknown' ? '' : '1 ms'));
    await anna.click('quality');
    assert.match(await anna.text('stat-rtt'), /^\d+ ms$/);
    assert.equal(await anna.text('stat-way'), 'WebTransport (UDP), datagrams');
  });

  test('gets a word for a name that nobody has', async () => {
    await anna.dial('nobody-at-all');

    assert.equal(await anna.ended(), 'not_found');
    assert.match(await anna.text('ended-cause'), /Nobody has/);
  });

  test('gets a word for a number without a telephone network', async () => {
    await anna.dial('+49 30 123456');

    assert.equal(await anna.ended(), 'no_route');
  });

  test('gets a word for a blocked microphone, and may call all the same', async (context) => {
    const blocked = await guest(context, browsers[0], {
      url: daemon.url,
      init: () => {
        MediaDevices.prototype.getUserMedia = () => Promise.reject(new DOMException('denied', 'NotAllowedError'));
      },
    });
    await blocked.signInWith(daemon.token({ id: 'zoe', name: 'Zoe' }));

    await blocked.click('service-milliwatt');
    await blocked.see('banner-mic[data-code="mic_blocked"]');
    assert.match(await blocked.text('banner-mic'), /microphone is blocked/i);
    assert.equal(await blocked.has('call'), false);
    await blocked.click('mic-silent');

    await blocked.hears(MILLIWATT_HZ);
  });
});

describe('two people', () => {
  test('call, ring, answer, hear each other and hang up', async () => {
    await anna.callPerson('bert');
    await anna.call('ringing');
    await bert.see('incoming');
    assert.equal(await bert.text('incoming-name'), 'Anna');
    assert.match(await bert.driver.evaluate(() => document.title), /Anna is calling|moqrelay/);
    await bert.answer();

    await Promise.all([anna.call('up'), bert.call('up')]);
    await hearEachOther(anna, bert);
    await endsWithin(HANGUP_MS_MAX, () => anna.clickedAt('call-hangup'), bert);

    assert.equal(await bert.ended(), 'normal');
  });

  test('reach each other by number', async () => {
    await bert.dial(anna.number);
    await anna.answer();

    await Promise.all([anna.call('up'), bert.call('up')]);
    await hearEachOther(anna, bert);
    await endsWithin(HANGUP_MS_MAX, () => anna.clickedAt('call-hangup'), bert);
  });

  test('hear each other again in one call after another', async () => {
    for (let n = 0; n < 3; n += 1) {
      await connect(anna, bert, 'bert');
      await hearEachOther(anna, bert);
      await anna.hangUp();
      await bert.ended();
    }
  });

  test('are told of a declined call', async () => {
    await anna.callPerson('bert');
    await bert.see('incoming');
    await bert.click('incoming-decline');

    assert.equal(await anna.ended(), 'rejected');
    await bert.seeNo('incoming');
    assert.equal(await bert.has('ended'), false);
  });

  test('see a cancelled call as a missed one', async () => {
    await bert.click('tab-recent');
    await bert.click('tab-people');
    const missed = () => bert.driver.evaluate(() => document.querySelectorAll('[data-testid="missed-badge"]').length);
    await anna.callPerson('bert');
    await bert.see('incoming');

    await anna.hangUp();

    await bert.seeNo('incoming');
    await until(async () => (await missed()) === 1, { what: "the badge of Bert's missed call" });
    await bert.click('tab-recent');
    await bert.see('history-entry[data-result="missed"]');
    await bert.click('tab-people');
  });

  test('mute: the other one hears silence and sees why', async () => {
    await connect(anna, bert, 'bert');
    await hearEachOther(anna, bert);

    await anna.click('call-mute');
    await bert.hearsNothing();
    assert.match(await bert.text('call-hint'), /Anna is muted/);
    await anna.click('call-mute');

    await bert.hears(anna.hz);
  });

  test('hold: neither hears the other until it is taken up again', async () => {
    await connect(anna, bert, 'bert');
    await hearEachOther(anna, bert);

    await anna.click('call-hold');
    await Promise.all([anna.call('held'), anna.hearsNothing(), bert.hearsNothing()]);
    assert.match(await bert.text('call-state'), /Anna has put you on hold/);
    await anna.click('call-hold');

    await hearEachOther(anna, bert);
  });
});

describe('more than one', () => {
  test('device of a person rings; the first answer wins', async (context) => {
    const second = await browsers[0].phone({ url: daemon.url, beside: anna });
    context.after(() => second.close());
    await second.ready();

    await bert.callPerson('anna');
    await Promise.all([anna.see('incoming'), second.see('incoming')]);
    await second.answer();

    await Promise.all([second.call('up'), bert.call('up'), anna.seeNo('incoming')]);
    await hearEachOther(second, bert);
    assert.equal(await anna.has('missed-badge'), false);
    await bert.hangUp();
    await second.ended();
  });

  test('call: the second waits, is answered, and the first is taken up again', async (context) => {
    const third = await launchChromium({ hz: 800 });
    context.after(() => third.close());
    const clara = await third.phone({ url: daemon.url });
    await clara.signInWith(daemon.token({ id: 'clara', name: 'Clara', number: '7201' }));
    await connect(anna, bert, 'bert');

    await clara.dial(anna.number);
    await anna.see('incoming');
    await anna.answer();
    await anna.see('waiting-call[data-state="held"]');
    await Promise.all([hearEachOther(anna, clara), bert.hearsNothing()]);
    await anna.click('waiting-swap');
    await Promise.all([hearEachOther(anna, bert), clara.hearsNothing()]);
    await bert.hangUp();

    await anna.call('held');
    await anna.click('call-hold');
    await hearEachOther(anna, clara);
    await clara.close();
    assert.equal(await anna.ended(20_000), 'lost');
  });
});

describe('when something breaks', () => {
  test('signaling that drops comes back and finds the call alive', async (context) => {
    const proxy = await startProxy(daemon.ports.http);
    context.after(() => proxy.close());
    const eva = await guest(context, browsers[0], { url: `http://localhost:${proxy.port}/` });
    await eva.signInWith(daemon.token({ id: 'eva', name: 'Eva', number: '7202' }));
    await connect(eva, bert, 'bert');
    await hearEachOther(eva, bert);

    proxy.cut();
    await eva.see('banner-line');
    await hearEachOther(eva, bert);
    proxy.mend();
    await eva.seeNo('banner-line');
    await hearEachOther(eva, bert);
    await endsWithin(HANGUP_MS_MAX, () => eva.clickedAt('call-hangup'), bert);
  });

  test('signaling that stays away ends the call on both sides', async (context) => {
    const proxy = await startProxy(daemon.ports.http);
    context.after(() => proxy.close());
    const eva = await guest(context, browsers[0], { url: `http://localhost:${proxy.port}/` });
    await eva.signInWith(daemon.token({ id: 'fritz', name: 'Fritz', number: '7203' }));
    await connect(eva, bert, 'bert');

    proxy.cut();

    assert.equal(await bert.ended(20_000), 'lost');
    assert.equal(await eva.ended(20_000), 'lost');
  });

  test('a voice that does not get through is said in words', async (context) => {
    const ports = await freePorts();
    const other = await startDaemon({ ports, url: `https://127.0.0.1:${ports.audiosocket}/moq`, fallback: false });
    context.after(() => other.stop());
    const cut = await guest(context, browsers[0], { url: `${other.url}#token=${other.token({ id: 'gerd', name: 'Gerd' })}` });

    await cut.wait('the line to be ready', () => __moqrelay.line().name === 'ready');

    await cut.wait('UDP to be named', () => /UDP/.test(document.querySelector('[data-testid="banner-link"]')?.textContent ?? ''), null, 30_000);
  });

  test('a browser that lacks something is told what', async (context) => {
    const old = await guest(context, browsers[0], {
      url: daemon.url,
      init: () => {
        delete globalThis.AudioEncoder;
      },
    });

    await old.see('unsupported');
    assert.match(await old.text('unsupported'), /It lacks:.*WebCodecs/);
  });

  test('a page that is loaded again goes on with its call', async () => {
    await connect(anna, bert, 'bert');
    await hearEachOther(anna, bert);

    await anna.driver.reload();
    await anna.ready();

    await anna.call('up');
    await hearEachOther(anna, bert);
  });

  test('the whole daemon, restarted: the phones sign in again by themselves', async () => {
    await daemon.restart();

    await Promise.all([anna, bert].map((phone) => phone.wait('the line to be ready', () => __moqrelay.line().name === 'ready', null, 60_000)));
    await Promise.all([anna.ready(), bert.ready()]);
    await connect(anna, bert, 'bert');
    await hearEachOther(anna, bert);
  });
});

test('no page complained', () => {
  const ours = (text) => !/WebSocket connection|ERR_CONNECTION|ERR_EMPTY|Failed to (load resource|establish a connection)|QUIC/.test(text);
  const complaints = [anna, bert].flatMap((phone) => phone.driver.complaints.filter(ours));
  assert.deepEqual(complaints, []);
});

/** A phone in a profile of its own that goes with its test. */
async function guest(context, browser, options) {
  const phone = await browser.phone(options);
  context.after(() => phone.driver.context.close());
  return phone;
}
