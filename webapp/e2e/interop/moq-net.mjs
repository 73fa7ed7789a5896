// moq-dev's browser library, in headless Chromium: publishes and subscribes through the relay, both ends in one page.
import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** Objects that each subscriber must hear. */
const WANTED = 20;
const RUN_MS = 20_000;

/** Where the packages' modules begin: a browser does not read package.json. */
const IMPORTS = {
  '@moq/net': '/@moq/net/index.js',
  '@moq/qmux': '/@moq/qmux/index.js',
  '@moq/signals': '/@moq/signals/index.js',
  '@moq/web-socket-stream': '/@moq/web-socket-stream/index.js',
  '@zod/mini': '/@zod/mini/index.js',
  'zod/mini': '/zod/mini/index.js',
  'async-mutex': '/async-mutex/index.mjs',
  bowser: '/bowser/bowser.mjs',
};

/** Opens a browser with a page that can import what is in `modules` (a node_modules folder). */
export async function openPage(modules) {
  const server = createServer((request, response) => {
    if (request.url === '/') {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>`);
      return;
    }
    const file = join(modules, normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname)));
    const found = [file, `${file}.js`].find((path) => path.startsWith(modules) && /\.m?js$/.test(path) && existsSync(path));
    if (found === undefined) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader('content-type', 'text/javascript');
    createReadStream(found).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args });
  const context = await browser.newContext();
  return {
    /** Publishes, subscribes twice (the second time to a track that is live), and returns what the page saw. */
    async talk(options) {
      const page = await context.newPage();
      const complaints = [];
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
      });
      // Where UDP is blocked WebTransport fails late; without it the library goes to the WebSocket at once.
      if (options.websocket !== undefined) await page.addInitScript('delete globalThis.WebTransport');
      try {
        await page.goto(`http://localhost:${server.address().port}/`);
        page.setDefaultTimeout(RUN_MS);
        return await page.evaluate(inPage, { ...options, wanted: WANTED, ms: RUN_MS });
      } catch (error) {
        throw new Error(`${String(error.message).split('\n')[0]} (${complaints.slice(-2).join('; ').slice(0, 300)})`);
      } finally {
        await page.close();
      }
    },
    async close() {
      await browser.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a talk must have come to: the draft, and every object at both subscribers. */
export function verify(seen, { version }) {
  if (version !== undefined) assert.match(seen.version, version, 'another version was chosen');
  assert.ok(seen.announced.includes(seen.path), `${seen.path} was not announced, but ${JSON.stringify(seen.announced)}`);
  for (const [who, heard] of [['first', seen.first], ['late', seen.late]]) {
    const whole = Math.max(...heard) - Math.min(...heard) + 1 === heard.length;
    assert.ok(heard.length >= WANTED && whole, `the ${who} subscriber heard ${heard}`);
  }
}

/** Runs in the page: no closure. */
async function inPage({ url, hash, websocket, protocols, path, wanted, ms }) {
  const Moq = await import('@moq/net');
  const hashes = hash === undefined ? undefined : [{ algorithm: 'sha-256', value: hash }];
  const connect = () => {
    if (websocket !== undefined) {
      return Moq.Connection.connect(new URL(url), { websocket: { url: new URL(websocket) } });
    }
    if (protocols === undefined) {
      return Moq.Connection.connect(new URL(url), { websocket: { enabled: false }, webtransport: { serverCertificateHashes: hashes } });
    }
    const value = Uint8Array.from(hash.match(/../g), (byte) => Number.parseInt(byte, 16));
    const transport = new WebTransport(url, { protocols, serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
    return transport.ready.then(() => Moq.Connection.connect(new URL(url), { transport }));
  };
  const within = (promise, what) => {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms));
    return Promise.race([promise, late]);
  };

  const publisher = await within(connect(), 'the publisher to connect');
  const subscriber = await within(connect(), 'the subscriber to connect');
  const broadcast = new Moq.Broadcast.Producer();
  const name = Moq.Path.from(path);
  publisher.publish(name, broadcast);
  void (async () => {
    for (;;) {
      const request = await broadcast.requested();
      if (request === undefined) return;
      const track = request.accept();
      let number = 0;
      const timer = setInterval(() => {
        const group = track.appendGroup();
        group.writeString(`object ${number}`);
        group.close();
        number += 1;
      }, 20);
      void Promise.resolve(track.closed).finally(() => clearInterval(timer));
    }
  })();

  const announced = [];
  const announcements = subscriber.announced();
  const known = (async () => {
    while (!announced.includes(path)) {
      const next = await announcements.next();
      if (next === undefined) return;
      announced.push(String(next.path));
    }
  })();
  await within(known, 'the announcement');

  const listen = async (connection) => {
    const track = connection.consume(name).subscribe('voice', { ordered: true, latencyMax: 5000 });
    // Each group is a stream: they may pass each other.
    const heard = new Set();
    const isWhole = () => heard.size === Math.max(...heard) - Math.min(...heard) + 1;
    while (heard.size < wanted || !isWhole()) {
      const group = await track.recvGroup();
      if (group === undefined) break;
      heard.add(Number(/^object (\d+)$/.exec(await group.readString())?.[1]));
    }
    return [...heard];
  };
  const listening = listen(subscriber);
  const first = await within(listening, 'objects');
  const lateOne = await within(connect(), 'the late subscriber to connect');
  const late = await within(listen(lateOne), 'objects for the late subscriber');
  const { version } = publisher;
  for (const connection of [publisher, subscriber, lateOne]) connection.close();
  return { version, path, announced, first, late };
}
