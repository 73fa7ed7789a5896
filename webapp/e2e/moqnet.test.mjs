// A browser library of other makers talks through the relay: what `make interop` does with it, without foreign programs.
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openPage, verify } from './interop/moq-net.mjs';
import { startDaemon } from './lib/daemon.mjs';

const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));

let daemon;
let page;
let relay;

before(async () => {
  daemon = await startDaemon({ open: true });
  page = await openPage(MODULES);
  relay = { url: `https://127.0.0.1:${daemon.ports.moq}/moq`, hash: (await daemon.transport()).certificate_hashes[0].value };
});

after(async () => {
  await page?.close();
  await daemon?.stop();
});

test('@moq/net at its default offer publishes, and is heard from the start and late', async () => {
  const seen = await page.talk({ ...relay, path: 'interop/default' });

  verify(seen, { version: /18/ });
});

test('@moq/net pinned to draft-18 publishes, and is heard from the start and late', async () => {
  const seen = await page.talk({ ...relay, path: 'interop/pinned', protocols: ['moqt-18'] });

  verify(seen, { version: /18/ });
});

test('@moq/net without WebTransport talks over a WebSocket', async () => {
  const websocket = `ws://127.0.0.1:${daemon.ports.http}/moq`;

  const seen = await page.talk({ ...relay, path: 'interop/websocket', websocket });

  verify(seen, { version: /18/ });
});
