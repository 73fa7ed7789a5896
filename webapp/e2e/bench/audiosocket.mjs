// What stands in for Asterisk on an AudioSocket leg: says bursts of a tone, notes when bursts arrive.
import { connect } from 'node:net';

const TYPE_ID = 0x01;
const TYPE_AUDIO_16K = 0x12;
const RATE = 16_000;
const FRAME_MS = 20;
const FRAME_SAMPLES = (RATE * FRAME_MS) / 1000;
/** The same as in the page's worklets: 100 ms of quiet, then -30 dB. */
const PAUSE_SAMPLES = RATE / 10;
const LOUD = 0.03 * 32_768;
/** A burst begins with a message; 26 messages are 520 ms. */
const BURST_FRAMES = 8;
const PERIOD_FRAMES = 26;
const HZ = 700;
const LEVEL = 12_000;

/** Milliseconds since 1970, with their fraction. */
export const now = () => performance.timeOrigin + performance.now();

/** Returns { said, heard, late, close() }; `said` and `heard` grow by the time of each burst's bytes. */
export async function startLeg({ port, uuid }) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const id = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  socket.write(Buffer.concat([Buffer.from([TYPE_ID, 0, id.length]), id]));
  const leg = { said: [], heard: [], late: [], ended: false };
  listen(socket, leg);
  const stop = speak(socket, leg);
  return Object.assign(leg, {
    close() {
      stop();
      socket.destroy();
    },
  });
}

function listen(socket, leg) {
  let inbox = Buffer.alloc(0);
  let quiet = 0;
  socket.on('data', (chunk) => {
    const at = now();
    inbox = inbox.length === 0 ? chunk : Buffer.concat([inbox, chunk]);
    while (inbox.length >= 3 && inbox.length >= 3 + inbox.readUInt16BE(1)) {
      const length = inbox.readUInt16BE(1);
      if (inbox[0] === TYPE_AUDIO_16K) {
        for (let i = 3; i < 3 + length; i += 2) {
          if (Math.abs(inbox.readInt16LE(i)) <= LOUD) {
            quiet += 1;
            continue;
          }
          if (quiet > PAUSE_SAMPLES) leg.heard.push(at);
          quiet = 0;
        }
      }
      inbox = inbox.subarray(3 + length);
    }
  });
  socket.on('close', () => {
    leg.ended = true;
  });
  socket.on('error', () => {});
}

/** A message every 20 ms by the clock; what is overdue goes out at once, as from Asterisk. */
function speak(socket, leg) {
  const silence = message(() => 0);
  const bursts = Array.from({ length: BURST_FRAMES }, (_, frame) =>
    message((i) => LEVEL * Math.sin((2 * Math.PI * HZ * (frame * FRAME_SAMPLES + i)) / RATE)),
  );
  const began = now();
  let frame = 0;
  let timer;
  const turn = () => {
    for (; now() >= began + frame * FRAME_MS; frame += 1) {
      const place = frame % PERIOD_FRAMES;
      const at = now();
      socket.write(bursts[place] ?? silence);
      leg.late.push(at - began - frame * FRAME_MS);
      if (place === 0) leg.said.push(at);
    }
    timer = setTimeout(turn, Math.max(0, began + frame * FRAME_MS - now()));
  };
  turn();
  return () => clearTimeout(timer);
}

function message(sample) {
  const bytes = Buffer.alloc(3 + 2 * FRAME_SAMPLES);
  bytes[0] = TYPE_AUDIO_16K;
  bytes.writeUInt16BE(2 * FRAME_SAMPLES, 1);
  for (let i = 0; i < FRAME_SAMPLES; i += 1) bytes.writeInt16LE(Math.round(sample(i)), 3 + 2 * i);
  return bytes;
}
