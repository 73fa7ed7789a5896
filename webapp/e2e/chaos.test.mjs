// The chaos run, in short: what breaks between browsers and telephones, through a real Asterisk. `make chaos` has
// more of it (chaos.mjs).
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { RUNS } from './chaos/runs.mjs';
import { startWorld } from './chaos/world.mjs';

/** Of them 500 in the whole run. */
const HANGUPS = 60;
const SEED = 4711;

let world;

before(async () => {
  world = await startWorld();
});

after(async () => {
  const status = await world?.stop();
  if (world !== undefined) assert.equal(status, 0, `the daemon ended with ${status}`);
});

afterEach((context) => {
  if (context.passed || world === undefined) return;
  for (const { log } of [world.daemon, world.asterisk]) console.error(`${log().split('\n').slice(-60).join('\n')}\n--`);
});

for (const { what, run } of RUNS) {
  test(what, async (context) => {
    context.diagnostic(await run(world, { count: HANGUPS, seed: SEED }));
  });
}
