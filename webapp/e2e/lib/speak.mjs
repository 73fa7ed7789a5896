// A program that speaks, for tests: says a sentence about somebody as one second of a tone.
//   speak.mjs Alice 700 Bob 950 < text > wav
import { text } from 'node:stream/consumers';

const RATE = 22_050;
const said = await text(process.stdin);
const who = /^([A-Z][a-z]*) has (joined|left)\.$/.exec(said)?.[1];
const at = process.argv.indexOf(who, 2);
const hz = process.argv[at + 1];
if (at < 2 || hz === undefined) throw new Error(`no sentence about anybody: ${said}`);

// As programs write to a pipe: the lengths say nothing true.
const head = Buffer.from('RIFF....WAVEfmt ....................data....', 'latin1');
head.writeUInt32LE(0x7fffffff, 4);
head.writeUInt32LE(16, 16);
head.writeUInt16LE(1, 20);
head.writeUInt16LE(1, 22);
head.writeUInt32LE(RATE, 24);
head.writeUInt32LE(2 * RATE, 28);
head.writeUInt16LE(2, 32);
head.writeUInt16LE(16, 34);
head.writeUInt32LE(0x7fffffff, 40);
const samples = Buffer.alloc(2 * RATE);
for (let i = 0; i < RATE; i += 1) {
  samples.writeInt16LE(Math.round(8_000 * Math.sin((2 * Math.PI * Number(hz) * i) / RATE)), 2 * i);
}
process.stdout.write(Buffer.concat([head, samples]));
