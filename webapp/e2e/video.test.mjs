// Pictures between two pages by a real relay: a moving test card whose numbers are read back from the watcher's screen.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { loadavg } from 'node:os';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, quantile, servePage, writeBursts } from '../src/core/media/e2e/stage.mjs';
import { startDaemon } from './lib/daemon.mjs';
import { launchFirefox } from './lib/firefox.mjs';
import { startUdpProxy } from './lib/udp.mjs';
import { until } from './lib/wait.mjs';

const CAMERA = { width: 1280, height: 720, fps: 20 };
const SCREEN = { width: 1280, height: 800, fps: 5 };
const SMALL = { w: 200, h: 112 };
const HALF = { w: 320, h: 180 };
const MIDDLE = { w: 600, h: 338 };
const LARGE = { w: 1280, h: 720 };
/** Only a fault takes longer. */
const SEEN_MS = 20_000;
/** Firefox without a graphics card begins slowly, and so does everything on a busy machine. */
const SLOW_MS = 60_000;
/** On an idle machine it is 60 to 120; two pages, three encoders and other programs share two cores here. */
const DELAY_MS_MAX = 1_000;

/** Sound that is made up while the line is full, beyond twice what is by a wide one. */
const MADE_UP_MS_MAX = 400;
const MADE_UP_AT_FIRST_MS_MAX = 1_000;
/** Later than that is a line that carries less. */
const IN_TIME_MS = 300;
/** While the line fills its queue overflows, and packets of everybody are lost; from then on hardly any. */
const LOST_AT_FIRST_MAX = 0.1;
const LOST_MAX = 0.02;
/** Packets of the time in which it fills, at least: three seconds. */
const AT_FIRST_PACKETS = 150;

let daemon;
let site;
let browser;
let proxy;
let pages = [];
const faults = [];

before(async () => {
  daemon = await startDaemon({ open: true });
  [site, proxy] = await Promise.all([servePage(fileURLToPath(new URL('../src/video/e2e', import.meta.url))), startUdpProxy(daemon.ports.moq)]);
  // Two seconds of tone, without a pause.
  browser = await launch(await writeBursts(`${site.folder}/microphone.wav`, 440, 1000), ['--auto-select-desktop-capture-source=Entire screen']);
});

after(async () => {
  await browser?.close();
  await site?.close();
  proxy?.close();
  await daemon?.stop();
});

afterEach(async (context) => {
  if (!context.passed) {
    for (const page of pages) console.error(JSON.stringify(await page.evaluate(async () => [page.log, await page.stats(), await page.mediaStats()]).catch(String)));
    const counters = (await daemon.metrics()).split('\n').filter((line) => /^moqrelay_relay_(objects_(dropped|sent)|datagrams|worker_busy)/.test(line));
    console.error(`load ${loadavg().map((load) => load.toFixed(1)).join(' ')}\n${counters.join('\n')}`);
    console.error(daemon.log().split('\n').slice(-15).join('\n'));
  }
  await Promise.all(pages.splice(0).map((page) => page.close()));
  proxy.limit(Number.POSITIVE_INFINITY);
  proxy.mend();
  assert.deepEqual(faults.splice(0), []);
});

describe('a camera', () => {
  test('is seen moving, in the size that fits the tile, and changes it without a gap', async (context) => {
    const [anna, bert] = await two();
    await anna.evaluate((card) => page.card('camera', card), CAMERA);
    await bert.evaluate((size) => page.watch('p1', 'camera', size), SMALL);
    await shows(bert, 'camera', 320);

    for (const [size, width] of [[LARGE, 1280], [MIDDLE, 640], [SMALL, 320]]) {
      await bert.evaluate(() => void page.seen('p1', 'camera'));
      await bert.evaluate((to) => page.resize('p1', 'camera', to), size);
      await shows(bert, 'camera', width);
      await pass(bert, 'camera', 20);
      const seen = await bert.evaluate(() => page.seen('p1', 'camera'));
      moves(context, `to ${width}`, seen, await drawn(anna), CAMERA.fps);
    }
    const { watched: [tile] } = await bert.evaluate(() => page.stats());
    context.diagnostic(JSON.stringify(tile));
    assert.equal(tile.track, 'camera-l');
    assert.ok(tile.switches >= 3);
    // Nobody watches the others any more: they are not even coded.
    await until(async () => (await anna.evaluate(() => page.stats())).sent.map(({ track }) => track).join() === 'camera-l', { what: 'the large sizes to rest' });
  });

  test('is seen at once by who comes later, also when it stands still', async (context) => {
    const [anna, bert] = await two();
    await anna.evaluate((card) => page.card('camera', card), CAMERA);
    await bert.evaluate((size) => page.watch('p1', 'camera', size), MIDDLE);
    await shows(bert, 'camera', 640);
    await anna.evaluate(() => page.freeze('camera'));

    const carl = await open('p3', ['p1']);
    await carl.evaluate((size) => page.watch('p1', 'camera', size), MIDDLE);
    const began = Date.now();
    await shows(carl, 'camera', 640);
    context.diagnostic(`seen ${Date.now() - began} ms after it was asked for`);
    const last = Math.max(...Object.keys(await drawn(anna)).map(Number));
    await until(async () => (await carl.evaluate(() => page.seen('p1', 'camera'))).some(({ number }) => number === last) || false, { what: `card ${last}` });
  });

  test('goes by H.264, and by AV1, where a browser codes nothing else', async (context) => {
    const [anna, bert] = await two();
    const card = { width: 640, height: 360, fps: 10 };
    const ways = [
      [anna, 'p1', bert, 'avc1'],
      [bert, 'p2', anna, 'av01'],
    ];
    for (const [by, , , codec] of ways) {
      await by.workers()[0].evaluate((only) => {
        const known = VideoEncoder.isConfigSupported.bind(VideoEncoder);
        VideoEncoder.isConfigSupported = async (config) => (config.codec.startsWith(only) ? known(config) : { supported: false, config });
      }, codec);
      await by.evaluate((small) => page.card('camera', small), card);
    }
    await Promise.all(
      ways.map(async ([by, from, who, codec]) => {
        await who.evaluate(([participant, size]) => page.watch(participant, 'camera', size), [from, HALF]);
        const any = () => who.evaluate((participant) => page.width(participant, 'camera') > 0, from);
        await until(any, { what: `a picture by ${codec}`, ms: SLOW_MS });
        await who.evaluate((participant) => void page.seen(participant, 'camera'), from);
        await pass(who, 'camera', 10, from, SLOW_MS);
        moves(context, codec, await who.evaluate((participant) => page.seen(participant, 'camera'), from), await drawn(by), card.fps, SLOW_MS);
        const { watched } = await who.evaluate(() => page.stats());
        assert.ok(watched[0].codec.startsWith(codec), watched[0].codec);
      }),
    );
  });

  test('of the browser itself is opened, and its end is told', async () => {
    const [anna, bert] = await two();
    await anna.evaluate(() => page.camera({ width: 640, height: 360 }));
    await bert.evaluate((size) => page.watch('p1', 'camera', size), LARGE);
    await bert.waitForFunction(() => page.log.includes('camera of p1 seen'), null, { timeout: SEEN_MS });

    const light = await bert.evaluate(() => page.light('p1', 'camera'));
    assert.ok(light.spread > 5, JSON.stringify(light));
    await anna.evaluate(() => page.hide('camera'));
    await bert.waitForFunction(() => page.log.includes('camera of p1 ended'), null, { timeout: SEEN_MS });
    assert.deepEqual(await anna.evaluate(() => page.log.filter((line) => line.startsWith('sending'))), ['sending true false', 'sending false false']);
  });
});

describe('a screen', () => {
  test('is seen as it is, beside the camera', async (context) => {
    const [anna, bert] = await two();
    await anna.evaluate((card) => page.card('camera', card), CAMERA);
    await anna.evaluate((card) => page.card('screen', card), SCREEN);
    await bert.evaluate((size) => page.watch('p1', 'camera', size), SMALL);
    await bert.evaluate((size) => page.watch('p1', 'screen', size), LARGE);
    await Promise.all([shows(bert, 'camera', 320), shows(bert, 'screen', SCREEN.width)]);
    await bert.evaluate(() => void page.seen('p1', 'screen'));

    await pass(bert, 'screen', 15);
    moves(context, 'screen', await bert.evaluate(() => page.seen('p1', 'screen')), await drawn(anna), SCREEN.fps);
    const { watched } = await bert.evaluate(() => page.stats());
    assert.deepEqual(watched.map(({ track }) => track), ['camera-l', 'screen']);
  });

  test('of the browser itself is captured', async () => {
    const [anna, bert] = await two();
    await anna.evaluate(() => page.screen());
    await bert.evaluate((size) => page.watch('p1', 'screen', size), LARGE);

    await bert.waitForFunction(() => page.log.includes('screen of p1 seen'), null, { timeout: SEEN_MS });
    assert.ok((await bert.evaluate(() => page.light('p1', 'screen'))).width >= 640);
  });
});

describe('Firefox', () => {
  let firefox;
  before(async () => {
    firefox = await launchFirefox();
  });
  after(() => firefox?.close());

  test('shows and watches', async (context) => {
    const [anna, fritz] = await two({ firefox });
    const card = { width: 640, height: 360, fps: 10 };
    await anna.evaluate((small) => page.card('camera', small), card);
    await fritz.evaluate((small) => page.card('camera', small), card);
    // Half the size: Firefox's encoder scales, too.
    await fritz.evaluate((size) => page.watch('p1', 'camera', size), HALF);
    await anna.evaluate((size) => page.watch('p2', 'camera', size), HALF);

    for (const [who, by, from, what] of [[fritz, anna, 'p1', 'in Firefox'], [anna, fritz, 'p2', 'from Firefox']]) {
      // On a busy machine Firefox falls behind, and a smaller size is taken: any will do.
      const any = () => who.evaluate((participant) => page.width(participant, 'camera') > 0, from);
      await until(any, { what: `a picture of ${from}`, ms: SLOW_MS });
      await who.evaluate((participant) => void page.seen(participant, 'camera'), from);
      await pass(who, 'camera', 10, from, SLOW_MS);
      const seen = await who.evaluate((participant) => page.seen(participant, 'camera'), from);
      context.diagnostic(JSON.stringify((await by.evaluate(() => page.stats())).sent));
      moves(context, what, seen, await drawn(by), card.fps, SLOW_MS);
    }
  });
});

describe('a line of 500 kbit/s', () => {
  test('to the watcher carries the voice unharmed, and of the pictures what is left', (context) =>
    narrow(context, { port: proxy.port }));
  test('from the publisher carries both likewise', (context) => narrow(context, { publisherPort: proxy.port }));

  async function narrow(context, line) {
    const [anna, bert] = await two(line);
    await anna.evaluate((card) => page.card('camera', card), CAMERA);
    await anna.evaluate((card) => page.card('screen', card), SCREEN);
    await Promise.all([anna.waitForFunction(() => page.log.includes('heard p2')), bert.waitForFunction(() => page.log.includes('heard p1'))]);
    const counts = async () => (await bert.evaluate(() => page.mediaStats())).peers[0];

    await bert.evaluate((size) => page.watch('p1', 'camera', size), LARGE);
    await bert.evaluate((size) => page.watch('p1', 'screen', size), LARGE);
    await bert.waitForFunction(() => ['camera', 'screen'].every((source) => page.log.includes(`${source} of p1 seen`)), null, { timeout: SLOW_MS });
    // What these pictures cost the voice where the line is wide: a busy machine starves the audio thread.
    const wide = await counts();
    await until(async () => (await counts()).received >= wide.received + 250, { what: '5 s of voice', ms: SLOW_MS });
    const usually = await counts();
    const usual = (usually.concealedMs - wide.concealedMs) / (usually.received - wide.received);

    const tracks = async () => (await bert.evaluate(() => page.stats())).watched.map(({ track }) => track).join();
    // A machine that is too busy to code and show them has smaller ones already; what follows holds for these, too.
    const large = async () => (await tracks()) === 'camera-h,screen';
    await until(large, { what: 'the large sizes by a wide line', ms: SEEN_MS, poll: 200 }).catch(async () => context.diagnostic(`by a wide line only ${await tracks()}: a busy machine`));

    const began = Date.now();
    const looks = [];
    proxy.limit(500);
    const before = await counts();
    const low = async () => {
      const { watched } = await bert.evaluate(() => page.stats());
      looks.push(`${Date.now() - began} ms: ${watched.map(({ track, fps, kbps, lateMs }) => `${track} ${Math.round(fps)}/s ${Math.round(kbps)} kbit/s late ${Math.round(lateMs)}`).join(', ')}`);
      return watched.every(({ track, fps, lateMs }) => track !== 'camera-h' && fps > 0.5 && lateMs < IN_TIME_MS);
    };
    await until(low, { what: 'sizes that the line carries in time', ms: SLOW_MS, poll: 200 }).catch((error) => {
      throw new Error(`${error.message}; seen:\n${looks.filter((_, i) => i % 10 === 0).join('\n')}`);
    });
    context.diagnostic(`sizes that fit after ${Date.now() - began} ms`);
    await until(async () => (await counts()).received >= before.received + AT_FIRST_PACKETS, { what: 'voice by the narrow line', ms: SEEN_MS });
    const settled = await counts();
    await bert.evaluate(() => [page.seen('p1', 'camera'), page.seen('p1', 'screen')]);
    await Promise.all([pass(bert, 'camera', 30, 'p1', SLOW_MS), pass(bert, 'screen', 5, 'p1', SLOW_MS)]);

    const now = await counts();
    const phases = [
      ['while it fills', before, settled, { lost: LOST_AT_FIRST_MAX, madeUpMs: MADE_UP_AT_FIRST_MS_MAX }],
      ['from then on', settled, now, { lost: LOST_MAX, madeUpMs: MADE_UP_MS_MAX }],
    ];
    for (const [what, from, to, most] of phases) {
      const [received, lost, madeUpMs] = ['received', 'lost', 'concealedMs'].map((name) => Math.round(to[name] - from[name]));
      context.diagnostic(`voice ${what}: ${received} packets, ${lost} lost, ${madeUpMs} ms made up (by a wide line ${usual.toFixed(2)} ms for each)`);
      assert.ok(lost <= received * most.lost + 1, `${lost} of ${received} voice packets were lost ${what}`);
      assert.ok(madeUpMs <= most.madeUpMs + 2 * usual * received, `${madeUpMs} ms of sound were made up ${what}`);
    }
    context.diagnostic(JSON.stringify((await bert.evaluate(() => page.stats())).watched));
    moves(context, 'camera', await bert.evaluate(() => page.seen('p1', 'camera')), await drawn(anna), 15, SLOW_MS);
  }
});

describe('a WebSocket', () => {
  test('carries pictures where UDP does not get through, after the voice', async (context) => {
    const websocket = `ws://127.0.0.1:${daemon.ports.http}/moq`;
    proxy.cut();
    const [anna, bert] = await two({ port: proxy.port, publisherPort: proxy.port, websocket });
    assert.deepEqual(await Promise.all([anna, bert].map((tab) => tab.evaluate(() => page.way()))), ['websocket', 'websocket']);
    await anna.evaluate((card) => page.card('camera', card), { ...CAMERA, fps: 10 });
    await bert.evaluate((size) => page.watch('p1', 'camera', size), MIDDLE);
    await bert.waitForFunction(() => page.log.includes('camera of p1 seen'), null, { timeout: SLOW_MS });
    await bert.evaluate(() => void page.seen('p1', 'camera'));

    await pass(bert, 'camera', 20, 'p1', SLOW_MS);

    moves(context, 'by TCP', await bert.evaluate(() => page.seen('p1', 'camera')), await drawn(anna), 10, SLOW_MS);
    const { peers: [{ lost, received }] } = await bert.evaluate(() => page.mediaStats());
    assert.ok(received > 50 && lost <= received * LOST_MAX, `${lost} of ${received} voice packets were lost`);
  });
});

/** Two pages in a room: p1 speaks and shows, p2 hears and watches. */
async function two(options = {}) {
  const room = randomBytes(16).toString('hex');
  const { publisherPort: port = daemon.ports.moq, websocket, ...rest } = options;
  const anna = await open('p1', ['p2'], { room, port, websocket });
  const bert = await open('p2', ['p1'], { room, websocket, ...rest });
  return [anna, bert];
}

let lastRoom = '';

async function open(participant, peers, { room = lastRoom, port = daemon.ports.moq, websocket, ...options } = {}) {
  lastRoom = room;
  const { certificate_hashes: hashes } = await daemon.transport();
  const address = { url: `https://127.0.0.1:${port}/moq`, hashes: hashes.map(({ value }) => value), ...(websocket !== undefined && { websocket }) };
  const { firefox, ...begin } = options;
  const tab = await (firefox === undefined ? chromiumTab() : firefoxTab(firefox));
  pages.push(tab);
  await tab.waitForFunction(() => 'page' in globalThis);
  const media = {
    room,
    participant,
    namespace: ['room', room, participant],
    token: '',
    peers: peers.map((peer) => ({ participant: peer, namespace: ['room', room, peer] })),
  };
  const state = await tab.evaluate(([to, where, more]) => page.begin(to, where, more), [address, media, begin]);
  assert.equal(state.name, 'connected', JSON.stringify(state));
  return tab;
}

async function chromiumTab() {
  const tab = await browser.newPage();
  tab.on('pageerror', (error) => faults.push(String(error)));
  tab.on('console', (message) => {
    // Where UDP is cut the browser says so; all else is a fault.
    if (message.type() !== 'error' || /Failed to establish a connection/.test(message.text())) return;
    const { url, lineNumber } = message.location();
    faults.push(`${message.text()} (${new Date().toISOString()} ${url}:${lineNumber})`);
  });
  await tab.goto(site.url);
  return tab;
}

/** As far as Playwright's page is used here. */
async function firefoxTab(firefox) {
  const { driver } = await firefox.phone({ url: site.url });
  return {
    evaluate: driver.evaluate,
    waitForFunction: (body) => until(() => driver.evaluate(body), { what: String(body), ms: SEEN_MS }),
    close: driver.close,
  };
}

/** Waits until a source is seen in that width. */
async function shows(tab, source, width, participant = 'p1') {
  const look = async () => (await tab.evaluate(([who, which]) => page.width(who, which), [participant, source])) === width;
  await until(look, { what: `${source} of ${width} pixels`, ms: SEEN_MS, poll: 100 });
}

/** Waits until so many pictures were seen since they were looked at last. */
async function pass(tab, source, count, participant = 'p1', ms = SEEN_MS) {
  const seen = () => tab.evaluate(([who, which]) => page.count(who, which), [participant, source]);
  await until(async () => (await seen()) >= count, { what: `${count} pictures`, ms });
}

const drawn = (tab) => tab.evaluate(() => page.drawn);

/** Numbers ascend, few are missing, none is unreadable, and they are young. */
function moves(context, what, seen, times, fps, delayMsMax = DELAY_MS_MAX) {
  const numbers = seen.map(({ number }) => number);
  const readable = numbers.filter((number) => number !== null);
  const ascending = readable.every((number, i) => i === 0 || number >= readable[i - 1]);
  const delays = seen.filter(({ number }) => times[number] !== undefined).map(({ number, at }) => at - times[number]).sort((a, b) => a - b);
  const span = seen.length < 2 ? 0 : seen.at(-1).at - seen[0].at;
  const gap = Math.max(0, ...seen.slice(1).map(({ at }, i) => at - seen[i].at));
  context.diagnostic(
    `${what}: ${seen.length} pictures in ${Math.round(span)} ms (${fps} a second are drawn), delay ${delays.map(Math.round)[0]}/${Math.round(quantile(delays, 0.5))}/${Math.round(delays.at(-1))} ms, longest gap ${Math.round(gap)} ms`,
  );
  assert.ok(ascending, `numbers went back: ${numbers}`);
  assert.ok(readable.length >= numbers.length * 0.95, `unreadable: ${numbers}`);
  assert.ok(quantile(delays, 0.5) <= delayMsMax, `${delays} ms`);
}
