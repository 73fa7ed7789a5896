// The chaos run: a real Asterisk, its ways to the daemon, its calls and its peers break, and nothing is left behind.
// Prints what it found.
//
//   node chaos.mjs [--calls 500] [--seed 4711] [--only killed,ari,sound,hangups,peers]
//
// The daemon is $MOQRELAY_BIN. Status 1 when something was not as it should be. Needs root, for Asterisk.
import { parseArgs } from 'node:util';
import { RUNS } from './chaos/runs.mjs';
import { startWorld } from './chaos/world.mjs';

const { values: options } = parseArgs({
  options: {
    calls: { type: 'string', default: '500' },
    seed: { type: 'string', default: '4711' },
    only: { type: 'string', default: RUNS.map(({ name }) => name).join() },
  },
});
const chosen = options.only.split(',').map((name) => {
  const run = RUNS.find((known) => known.name === name);
  if (run === undefined) throw new Error(`there is no run ${name}`);
  return run;
});

const world = await startWorld();
console.log((await world.asterisk.cli('core show version')).trim());
console.log(`seed ${options.seed}, ${options.calls} calls hung up at random`);
for (const { what, run } of chosen) {
  const began = Date.now();
  try {
    const found = await run(world, { count: Number(options.calls), seed: Number(options.seed) });
    console.log(`\nok, ${seconds(began)} s: ${what}\n  ${found.replaceAll('; ', '\n  ')}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`\nFAILED, ${seconds(began)} s: ${what}\n  ${error.stack}`);
    console.log(world.daemon.log().split('\n').slice(-40).join('\n'));
  }
}
const status = await world.stop();
if (status !== 0) {
  process.exitCode = 1;
  console.log(`\nthe daemon ended with ${status}`);
}

function seconds(began) {
  return ((Date.now() - began) / 1000).toFixed(1);
}
