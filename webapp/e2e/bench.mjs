// What needs a browser to be measured: the delay of a voice between microphone, Asterisk and loudspeaker, and the
// time a call takes to begin. Prints its rows, and appends them to a file for `moqrelay-load table`.
//
//   node bench.mjs [--rows FILE] [--only delay,setup,asterisk] [--seconds 40] [--calls 20]
//
// The daemon is $MOQRELAY_BIN. Status 1 when a measurement could not run; a missed goal is only said.
import { appendFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { delay } from './bench/delay.mjs';
import { setupAmongBrowsers, setupToAsterisk } from './bench/setup.mjs';

const MEASUREMENTS = { delay, setup: setupAmongBrowsers, asterisk: setupToAsterisk };

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string' },
    only: { type: 'string', default: Object.keys(MEASUREMENTS).join() },
    seconds: { type: 'string', default: '40' },
    calls: { type: 'string', default: '20' },
  },
});

for (const name of options.only.split(',')) {
  const measurement = MEASUREMENTS[name];
  if (measurement === undefined) throw new Error(`there is no measurement ${name}`);
  const figures = await measurement.run({ seconds: Number(options.seconds), calls: Number(options.calls) }).catch((error) => {
    console.error(error);
    process.exitCode = 1;
    return measurement.rows.map(() => ({ figures: String(error.message).split('\n')[0], verdict: 'missing' }));
  });
  measurement.rows.forEach((row, n) => print({ ...row, ...figures[n], load: loadavg()[0] }));
}

function print(row) {
  console.log(`${row.what}: ${row.figures}; goal ${row.goal}: ${row.verdict} [load ${row.load.toFixed(1)}]`);
  if (options.rows !== undefined) appendFileSync(options.rows, `${JSON.stringify(row)}\n`);
}
