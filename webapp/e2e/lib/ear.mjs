// What a SIP telephone hears.
import assert from 'node:assert/strict';
import { peak } from '../../../deploy/asterisk/harness.mjs';
import { until } from './wait.mjs';

const TOLERANCE_HZ = 5;
/** What is left of a tone on its way to the telephone and into its WAV file. */
const LEVEL_MIN = 500;
/** Long enough for the tone to be most of what is examined. */
const TALK_MS = 2_500;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Returns the loudest tone that a telephone hears from now on: { hz, level }. */
export async function listen(phone) {
  await pause(TALK_MS);
  const { seconds } = peak(phone.heard);
  return peak(phone.heard, { from: Math.max(0, seconds - 1), seconds: 1 });
}

/** How long a telephone has heard until now, in seconds: where `heardAfter` begins. */
export const sofar = (phone) => peak(phone.heard).seconds;

/** Looks at pieces of so many seconds: half of one holds nothing but the tone. */
const PIECE_S = 0.4;
const HEARD_MS = 20_000;

/** Waits until a telephone has heard a tone at any moment after `from` (seconds). */
export async function heardAfter(phone, from, hz) {
  const seen = [];
  let at = from;
  const look = () => {
    const { seconds } = peak(phone.heard);
    for (; at + PIECE_S <= seconds; at += PIECE_S / 2) {
      const piece = peak(phone.heard, { from: at, seconds: PIECE_S });
      seen.push(Math.round(piece.hz));
      if (isNear(piece.hz, hz) && piece.level >= LEVEL_MIN) return true;
    }
    return false;
  };
  await until(look, { what: `${hz} Hz in a telephone's ear`, ms: HEARD_MS, poll: 200 }).catch((error) => {
    throw new Error(`${error.message}; heard ${seen.slice(-40).join(', ')}`);
  });
}

/** Checks that what was heard is a tone. */
export function near({ hz, level }, wanted) {
  assert.ok(isNear(hz, wanted) && level >= LEVEL_MIN, `the telephone heard ${hz} Hz at level ${level} instead of ${wanted} Hz`);
}

export function isNear(hz, wanted) {
  return Math.abs(hz - wanted) <= TOLERANCE_HZ;
}
