// A TCP proxy that can be cut, as a network is: what passes stops, what is open breaks.
import { connect, createServer } from 'node:net';

/** Returns { port, cut(), mend(), close() } of a proxy before a port of 127.0.0.1. */
export async function startProxy(target) {
  const pairs = new Set();
  let whole = true;
  const server = createServer((inner) => {
    inner.on('error', () => {});
    if (!whole) {
      inner.destroy();
      return;
    }
    const outer = connect({ port: target, host: '127.0.0.1', noDelay: true });
    inner.setNoDelay(true);
    const end = () => {
      inner.destroy();
      outer.destroy();
      pairs.delete(end);
    };
    pairs.add(end);
    outer.on('error', end);
    inner.on('close', end);
    outer.on('close', end);
    inner.pipe(outer);
    outer.pipe(inner);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakAll = () => [...pairs].forEach((end) => end());
  return {
    port: server.address().port,
    cut() {
      whole = false;
      breakAll();
    },
    mend() {
      whole = true;
    },
    close() {
      breakAll();
      server.close();
    },
  };
}
