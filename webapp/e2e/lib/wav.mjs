// Microphones of fake sound cards: a tone that has no seam when the file is played over and over.
import { writeFileSync } from 'node:fs';

const RATE = 48_000;
const SECONDS = 2;
const LEVEL = 12_000;

/** Writes two seconds of a tone; `hz` is whole, so that the end meets the beginning. */
export function writeTone(path, hz) {
  const samples = Int16Array.from({ length: RATE * SECONDS }, (_, i) => LEVEL * Math.sin((2 * Math.PI * hz * i) / RATE));
  writeFileSync(path, wav(samples));
}

/** Writes one tone after the other, each for `seconds`. */
export function writeTones(path, { tones, seconds }) {
  const stretch = RATE * seconds;
  const samples = Int16Array.from({ length: stretch * tones.length }, (_, i) => LEVEL * Math.sin((2 * Math.PI * tones[Math.floor(i / stretch)] * i) / RATE));
  writeFileSync(path, wav(samples));
}

/** Writes bursts of a tone, each followed by silence up to the next one. */
export function writeBursts(path, { hz, burstMs, periodMs, bursts }) {
  const [burst, period] = [burstMs, periodMs].map((ms) => (RATE * ms) / 1000);
  const samples = Int16Array.from({ length: period * bursts }, (_, i) =>
    i % period < burst ? LEVEL * Math.sin((2 * Math.PI * hz * (i % period)) / RATE) : 0,
  );
  writeFileSync(path, wav(samples));
}

function wav(samples) {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20); // PCM
  header.writeUInt16LE(1, 22); // mono
  header.writeUInt32LE(RATE, 24);
  header.writeUInt32LE(RATE * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer)]);
}
