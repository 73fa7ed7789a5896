// What a SIP telephone hears.
import assert from 'node:assert/strict';
import { peak } from '../../../deploy/asterisk/harness.mjs';

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

/** Checks that what was heard is a tone. */
export function near({ hz, level }, wanted) {
  assert.ok(isNear(hz, wanted) && level >= LEVEL_MIN, `the telephone heard ${hz} Hz at level ${level} instead of ${wanted} Hz`);
}

export function isNear(hz, wanted) {
  return Math.abs(hz - wanted) <= TOLERANCE_HZ;
}
