// What is written of a call: by the daemon, and by Asterisk.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './wait.mjs';

/** Waits for the last leg's record that fits in the daemon's file; returns it and its call's. */
export async function recorded(file, fits) {
  let found;
  const look = async () => {
    const lines = linesOf(file).map((line) => JSON.parse(line));
    const leg = lines.findLast((line) => line.record === 'leg' && fits(line));
    const call = lines.find((line) => line.record === 'call' && line.call === leg?.call);
    found = [leg, call];
    return call !== undefined;
  };
  await until(look, { what: `a record in ${file}` });
  return found;
}

/** Waits for Asterisk's own records of a channel (as `"PJSIP/alice-`) with a linked id; returns how long it was up, and the rows. */
export async function asterisksRow(asterisk, linkedId, channel) {
  let rows = [];
  const look = async () => {
    rows = linesOf(join(asterisk.state, 'log', 'cdr-csv', 'Master.csv')).filter((line) => line.includes(`"${linkedId}"`) && line.includes(channel));
    return rows.length > 0;
  };
  await until(look, { what: `Asterisk's record ${linkedId}` });
  // The duration and, behind it, the seconds since the answer are the two bare numbers.
  const billsec = rows.map((row) => Number(/,(\d+),(\d+),"/.exec(row)?.[2] ?? 0));
  return { billsec: Math.max(...billsec), rows };
}

/** A file that is written while it is read may end within a line. */
function linesOf(file) {
  const text = readFileSync(file, 'utf8');
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '');
}
