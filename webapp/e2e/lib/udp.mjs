// A UDP proxy that can be cut, as a firewall does it: what passes vanishes, and nobody is told.
import { createSocket } from 'node:dgram';

/** Returns { port, cut(), mend(), close() } of a proxy before a port of 127.0.0.1. */
export async function startUdpProxy(target) {
  let whole = true;
  /** By the client's port: a socket that stands for it before the target. */
  const outer = new Map();
  const inner = createSocket('udp4');
  inner.on('message', (bytes, client) => {
    if (!whole) return;
    let socket = outer.get(client.port);
    if (socket === undefined) {
      socket = createSocket('udp4');
      socket.on('message', (answer) => whole && inner.send(answer, client.port, client.address));
      // A target that is not there yet is a packet lost.
      socket.on('error', () => {});
      socket.connect(target, '127.0.0.1', () => socket.send(bytes));
      outer.set(client.port, socket);
      return;
    }
    try {
      socket.send(bytes);
    } catch {
      // Not connected yet: a packet lost.
    }
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
    close() {
      inner.close();
      for (const socket of outer.values()) socket.close();
    },
  };
}
