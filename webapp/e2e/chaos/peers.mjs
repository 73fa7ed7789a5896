// AudioSocket peers that do not behave as Asterisk does, each in a call of its own, all at the same time.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { ASTERISK_SECRET } from '../lib/daemon.mjs';
import { next } from '../lib/device.mjs';
import { endedOnce, isEmpty, pause } from './world.mjs';

const TYPE_ID = 0x01;
const SLIN = 0x10;
const SLIN16 = 0x12;
const HANGUP = Buffer.from([0, 0, 0]);
const FRAME_MS = 20;
const SLIN_BYTES = 320;
const SLIN16_BYTES = 640;
/** How long a peer that is only odd goes on. */
const TALK_MS = 5_000;
/** What we send waits in both kernels before the leg is given up. */
const STALL_MS_MAX = 60_000;

/** Returns what became of each. */
export async function badPeers(world) {
  const dropped = await world.metric('moqrelay_bridge_frames_dropped_total');
  const told = await Promise.all(PEERS.map((peer, n) => judge(world, peer, world.people[n])));
  endedOnce(world);
  const more = (await world.metric('moqrelay_bridge_frames_dropped_total')) - dropped;
  const left = await isEmpty(world);
  return `${told.join('; ')}; ${more} frames dropped in all; ${left}`;
}

/**
 * `speak` is what the peer does once the call is up; `ends` the cause that the browser is told then, or `undefined`
 * when the call lives until the peer hangs up; `says` what the daemon's log tells the operator.
 */
const PEERS = [
  {
    name: 'stalls',
    ends: 'lost',
    speak: async (socket) => {
      socket.pause();
      await pause(STALL_MS_MAX);
    },
  },
  {
    name: 'splits its headers',
    speak: (socket) =>
      paced(TALK_MS, FRAME_MS, async () => {
        const frame = message(SLIN16, SLIN16_BYTES);
        for (const [from, to] of [[0, 1], [1, 2], [2, 3], [3, 200], [200, frame.length]]) {
          socket.write(frame.subarray(from, to));
          await pause(2);
        }
      }),
  },
  {
    name: 'sends too fast',
    says: /sound comes at (?:[2-9]|\d\d)\.\d times its pace: too much/,
    speak: async (socket) => {
      socket.write(Buffer.concat(Array.from({ length: 300 }, () => message(SLIN16, SLIN16_BYTES))));
      await paced(TALK_MS, FRAME_MS, () => socket.write(Buffer.concat([message(SLIN16, SLIN16_BYTES), message(SLIN16, SLIN16_BYTES), message(SLIN16, SLIN16_BYTES)])));
    },
  },
  {
    name: 'sends too slowly',
    says: /sound comes at 0\.5 times its pace: too little/,
    speak: (socket) => paced(TALK_MS, 2 * FRAME_MS, () => socket.write(message(SLIN16, SLIN16_BYTES))),
  },
  {
    name: 'says 16 kHz and sends 8',
    says: /sound comes at 0\.5 times its pace.*its type says 16000 Hz/,
    speak: (socket) => paced(TALK_MS, FRAME_MS, () => socket.write(message(SLIN16, SLIN_BYTES))),
  },
  {
    name: 'sends mu-law for linear sound',
    ends: 'failed',
    says: /Asterisk sends another codec under type 0x10.*c\(slin16\)/,
    speak: (socket) => paced(TALK_MS, FRAME_MS, () => socket.write(message(SLIN, SLIN_BYTES / 2))),
  },
  {
    name: 'sends garbage',
    ends: 'failed',
    says: /too many messages without sense/,
    // Half a sample more than there can be, under a type that is known.
    speak: (socket) => paced(TALK_MS, FRAME_MS, () => socket.write(message(SLIN16, 3))),
  },
  {
    name: 'resets the connection',
    ends: 'normal',
    speak: async (socket) => {
      await paced(1_000, FRAME_MS, () => socket.write(message(SLIN16, SLIN16_BYTES)));
      socket.resetAndDestroy();
    },
  },
];

async function judge(world, peer, device) {
  const before = world.daemon.log().length;
  const incoming = next(device, (event) => event.type === 'incoming', { what: `the call of a peer that ${peer.name}` });
  const socket = await connectPeer(world, device);
  try {
    const { call } = await incoming;
    const up = next(device, (event) => event.type === 'up' && event.call === call, { what: `the call of a peer that ${peer.name}` });
    const ended = next(device, (event) => event.type === 'ended' && event.call === call, {
      what: `the end of the call of a peer that ${peer.name}`,
      ms: STALL_MS_MAX + TALK_MS + 20_000,
    });
    let over;
    ended.then(
      (event) => {
        over = event;
      },
      () => {},
    );
    await device.request('answer', { call });
    await up;
    const began = Date.now();
    const spoken = peer.speak(socket);
    if (peer.ends === undefined) {
      await spoken;
      assert.equal(over, undefined, `the call of a peer that ${peer.name} ended as ${over?.cause}`);
      socket.write(HANGUP);
    }
    const { cause } = await ended;
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    assert.equal(cause, peer.ends ?? 'normal', `the call of a peer that ${peer.name}`);
    if (peer.says) assert.match(world.daemon.log().slice(before), peer.says, `the log about a peer that ${peer.name}`);
    return peer.ends === undefined ? `${peer.name}: lived` : `${peer.name}: ${cause} after ${seconds} s`;
  } finally {
    socket.destroy();
  }
}

/** Gets a ticket and connects with it. */
async function connectPeer(world, device) {
  const answer = await fetch(`${world.daemon.url}api/v1/asterisk/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ASTERISK_SECRET}` },
    body: new URLSearchParams({ to: device.number, from: '555', name: 'Peer' }),
  });
  if (!answer.ok) throw new Error(`no ticket: ${answer.status}`);
  const id = Buffer.from((await answer.text()).replaceAll('-', ''), 'hex');
  const socket = connect({ port: world.daemon.ports.audiosocket, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.write(Buffer.concat([Buffer.from([TYPE_ID, 0, id.length]), id]));
  // What is said to it is not looked at.
  socket.resume();
  return socket;
}

/** Does something every so many milliseconds by the clock, not by what the last time took. */
async function paced(ms, every, act) {
  const began = performance.now();
  for (let n = 0; n * every < ms; n += 1) {
    await pause(Math.max(0, began + n * every - performance.now()));
    await act();
  }
}

function message(type, length) {
  const bytes = Buffer.alloc(3 + length);
  bytes[0] = type;
  bytes.writeUInt16BE(length, 1);
  return bytes;
}
