// A telephone without Asterisk: calls by AudioSocket as a dialplan with tickets does.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { ASTERISK_SECRET } from './daemon.mjs';

const [ID, SOUND] = [0x01, 0x10];
const FRAME_SAMPLES = 160;
const FRAME_MS = 20;

/**
 * Calls `to` and says a tone from then on, but while it is `silent`. Returns { frames, open, silent, level(), end() }:
 * frames heard, whether the call lives, how loud the last frame was.
 */
export async function callByTicket(daemon, { to, from = '600', hz }) {
  const headers = { authorization: `Bearer ${ASTERISK_SECRET}` };
  const body = new URLSearchParams({ to, from });
  const answer = await fetch(`${daemon.url}api/v1/asterisk/tickets`, { method: 'POST', headers, body });
  const uuid = await answer.text();
  assert.equal(answer.status, 200, uuid);
  const socket = connect(daemon.ports.audiosocket, '127.0.0.1');
  const state = { frames: 0, open: true, silent: false, last: 0, level: () => state.last, end };
  socket.write(message(ID, Buffer.from(uuid.replaceAll('-', ''), 'hex')));
  let inbox = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    inbox = Buffer.concat([inbox, bytes]);
    while (inbox.length >= 3 && inbox.length >= 3 + inbox.readUInt16BE(1)) {
      const end = 3 + inbox.readUInt16BE(1);
      if (inbox[0] === SOUND) {
        state.frames += 1;
        state.last = rms(inbox.subarray(3, end));
      }
      inbox = inbox.subarray(end);
    }
  });
  socket.on('close', () => {
    state.open = false;
    clearInterval(timer);
  });
  const start = Date.now();
  let said = 0;
  const timer = setInterval(() => {
    for (; said * FRAME_MS <= Date.now() - start; said += 1) socket.write(message(SOUND, state.silent ? Buffer.alloc(2 * FRAME_SAMPLES) : tone(said, hz)));
  }, FRAME_MS);
  function end() {
    clearInterval(timer);
    socket.destroy();
  }
  return state;
}

function message(kind, payload) {
  const head = Buffer.alloc(3);
  head[0] = kind;
  head.writeUInt16BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

function tone(frame, hz) {
  const bytes = Buffer.alloc(2 * FRAME_SAMPLES);
  for (let at = 0; at < FRAME_SAMPLES; at += 1) {
    const seconds = (frame * FRAME_SAMPLES + at) / 8_000;
    bytes.writeInt16LE(Math.round(8_000 * Math.sin(2 * Math.PI * hz * seconds)), 2 * at);
  }
  return bytes;
}

function rms(bytes) {
  let sum = 0;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readInt16LE(at) ** 2;
  return Math.sqrt(sum / (bytes.length / 2));
}
