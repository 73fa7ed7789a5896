// A program that speaks, for tests: says each text as one second of a tone, if it is a sentence at all.
//   speak.mjs HZ < text > wav
import { text } from 'node:stream/consumers';

const RATE = 22_050;
const [, , hz] = process.argv;
const said = await text(process.stdin);
if (!/^[A-Z][^<>[\]&]* has (joined|left)\.$/.test(said)) throw new Error(`no sentence: ${said}`);

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
for (let at = 0; at < RATE; at += 1) {
  samples.writeInt16LE(Math.round(8_000 * Math.sin((2 * Math.PI * Number(hz) * at) / RATE)), 2 * at);
}
process.stdout.write(Buffer.concat([head, samples]));
