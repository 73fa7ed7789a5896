// The fallback as moq-dev's browser library speaks it: MoQ over a WebSocket on the page's port, no UDP at all.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openPage, verify } from './interop/moq-net.mjs';
import { startDaemon } from './lib/daemon.mjs';

const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));

let daemon;
let page;

before(async () => {
  daemon = await startDaemon({ open: true });
  page = await openPage(MODULES);
});

after(async () => {
  await page?.close();
  await daemon?.stop();
});

test('the transport API says where the fallback is', async () => {
  const { fallback_url: where } = await daemon.transport();

  assert.equal(new URL(where, daemon.url).href, `${daemon.url}moq`);
});

test('@moq/net publishes and subscribes over a WebSocket where WebTransport has no answer', async () => {
  const { http } = daemon.ports;
  const { certificate_hashes: [{ value: hash }] } = await daemon.transport();

  // Nobody listens on the UDP port of that number.
  const seen = await page.talk({
    url: `https://127.0.0.1:${http}/moq`,
    websocket: `ws://127.0.0.1:${http}/moq`,
    hash,
    path: 'fallback/default-offer',
  });

  verify(seen, { version: /18/ });
  assert.match(await daemon.metrics(), /moqrelay_relay_sessions\{[^}]*transport="websocket"/);
  assert.doesNotMatch(await daemon.metrics(), /moqrelay_relay_sessions\{[^}]*transport="webtransport"/);
});
