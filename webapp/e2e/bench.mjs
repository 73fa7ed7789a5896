// What needs a browser or a real Asterisk to be measured: the delay of a voice between microphone, Asterisk and
// loudspeaker, the time a call takes to begin, and how many can begin; the same in rooms of many. Prints its rows, and appends them to a file for
// `moqrelay-load table`.
//
//   node bench.mjs [--rows FILE] [--only delay,roomdelay,setup,join,switch,asterisk,calls] [--seconds 40] [--calls 20] [--call-seconds 60]
//
// The daemon is $MOQRELAY_BIN. Status 1 when a measurement could not run; a missed goal is only said.
import { appendFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { callRate } from './bench/calls.mjs';
import { delay, delayInRoom } from './bench/delay.mjs';
import { roomJoin, roomSwitch } from './bench/rooms.mjs';
import { setupAmongBrowsers, setupToAsterisk } from './bench/setup.mjs';

const MEASUREMENTS = {
  delay,
  roomdelay: delayInRoom,
  setup: setupAmongBrowsers,
  join: roomJoin,
  switch: roomSwitch,
  asterisk: setupToAsterisk,
  calls: callRate,
};

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string' },
    only: { type: 'string', default: Object.keys(MEASUREMENTS).join() },
    seconds: { type: 'string', default: '40' },
    calls: { type: 'string', default: '20' },
    'call-seconds': { type: 'string', default: '60' },
  },
});

for (const name of options.only.split(',')) {
  const measurement = MEASUREMENTS[name];
  if (measurement === undefined) throw new Error(`there is no measurement ${name}`);
  const lengths = { seconds: Number(options.seconds), calls: Number(options.calls), callSeconds: Number(options['call-seconds']) };
  const figures = await measurement.run(lengths).catch((error) => {
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
