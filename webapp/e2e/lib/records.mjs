// What is written of a call: by the daemon, and by Asterisk.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
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

/**
 * Compares every part in a call that went through Asterisk with what Asterisk itself has written, found by the linked
 * id: who talked has talked as long there, to the second, and who did not was not answered there either. Waits until
 * Asterisk has written about all of them; returns how many there were.
 */
export async function compareRecords(asterisk, file) {
  const legs = linesOf(file).map((line) => JSON.parse(line)).filter((line) => line.record === 'leg' && line.linked_id !== undefined);
  let faults;
  const look = async () => {
    const rows = asterisksRows(asterisk);
    faults = legs.filter((leg) => !agrees(leg, rows.get(leg.linked_id) ?? [])).map((leg) => ({ leg, rows: rows.get(leg.linked_id) }));
    return faults.length === 0;
  };
  await until(look, { what: "Asterisk's records" }).catch(() => {});
  assert.equal(faults.length, 0, `our records and Asterisk's differ: ${JSON.stringify(faults.slice(0, 3), null, 1)}`);
  return legs.length;
}

/** Asterisk counts whole seconds from the answer, from one turn of its clock to another. */
function agrees({ talked_s }, rows) {
  if (talked_s === 0) return rows.length > 0 && rows.every((row) => row.billsec === 0);
  const fits = ({ billsec }) => Math.abs(billsec - Math.floor(talked_s)) <= 1;
  return rows.some((row) => row.disposition === 'ANSWERED' && fits(row));
}

/** What Asterisk has written so far, by linked id. */
function asterisksRows(asterisk) {
  const rows = new Map();
  const path = join(asterisk.state, 'log', 'cdr-csv', 'Master.csv');
  for (const line of existsSync(path) ? linesOf(path) : []) {
    const fields = [...line.matchAll(/"((?:[^"]|"")*)"|(-?\d+)|(?<=,)(?=,)/g)].map(([, text, number]) => text ?? number ?? '');
    const [channel, dstchannel] = [fields[5], fields[6]];
    const [duration, billsec] = [Number(fields[12]), Number(fields[13])];
    const [disposition, linked] = [fields[14], fields[18]];
    rows.set(linked, [...(rows.get(linked) ?? []), { channel, dstchannel, duration, billsec, disposition }]);
  }
  return rows;
}

/** A file that is written while it is read may end within a line. */
function linesOf(file) {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '');
}
