// A UDP proxy that can be cut, as a firewall does it: what passes vanishes, and nobody is told.
import { createSocket } from 'node:dgram';

/** What a slow line keeps while it is busy; beyond that packets are lost. */
const LINE_MS = 150;

/** A line of so many kbit/s: returns what sends a packet by it when its turn has come. */
function line() {
  let kbps = Number.POSITIVE_INFINITY;
  let freeAt = 0;
  return {
    set: (limit) => {
      kbps = limit;
    },
    send(bytes, send) {
      const now = performance.now();
      const begin = Math.max(now, freeAt);
      if (begin - now > LINE_MS) return;
      freeAt = begin + (bytes.length * 8) / kbps;
      if (freeAt - now < 1) send();
      else setTimeout(send, freeAt - now);
    },
  };
}

/** Returns { port, cut(), mend(), limit(kbps), close() } of a proxy before a port of 127.0.0.1. */
export async function startUdpProxy(target) {
  let whole = true;
  /** By the client's port: a socket that stands for it before the target. */
  const outer = new Map();
  const inner = createSocket('udp4');
  /** To the target, and from it. */
  const lines = [line(), line()];
  let over = false;
  const quietly = (send) => () => {
    if (over) return;
    try {
      send();
    } catch {
      // Not connected yet: a packet lost.
    }
  };
  inner.on('message', (bytes, client) => {
    if (!whole) return;
    let socket = outer.get(client.port);
    if (socket === undefined) {
      socket = createSocket('udp4');
      socket.on('message', (answer) => whole && lines[1].send(answer, quietly(() => inner.send(answer, client.port, client.address))));
      // A target that is not there yet is a packet lost.
      socket.on('error', () => {});
      socket.connect(target, '127.0.0.1', () => socket.send(bytes));
      outer.set(client.port, socket);
      return;
    }
    lines[0].send(bytes, quietly(() => socket.send(bytes)));
  });
  await new Promise((resolve) => inner.bind(0, '127.0.0.1', resolve));
  return {
    port: inner.address().port,
    cut() {
      whole = false;
    },
    mend() {
      whole = true;
    },
    /** Both directions carry so many kbit/s from now on. */
    limit(kbps) {
      for (const each of lines) each.set(kbps);
    },
    close() {
      over = true;
      inner.close();
      for (const socket of outer.values()) socket.close();
    },
  };
}
