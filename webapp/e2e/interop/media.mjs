// Programs that take media from standard input or tell the time: what comes out through the relay is what went in.
import assert from 'node:assert/strict';
import { FRAGMENT_MS, fragment, header } from './mp4.mjs';
import { run } from './program.mjs';

/** Fragments that must arrive, one after the other. */
const WANTED = 20;
/** Bytes of a fragment's only sample. */
const PAYLOAD = 400;
/** Fragments that are sent at most. */
const SENT_MAX = 600;

/** moq-pub to moq-sub: every byte that comes out went in, in its order. */
export async function media({ url, bin, name }) {
  const publisher = run(`${bin}/moq-pub`, ['--name', name, '--tls-disable-verify', url]);
  const feed = feeder(publisher.stdin);
  try {
    // The subscriber asks once; there is nothing to ask for before the publisher has told the relay.
    await publisher.until(() => feed.sent() >= 4, 'moq-pub to take the first fragments');
    const subscriber = run(`${bin}/moq-sub`, ['--name', name, '--tls-disable-verify', url]);
    try {
      const head = header();
      await subscriber.until((out) => out.length > head.length && payloads(out.subarray(head.length)).length >= WANTED, `${WANTED} fragments at moq-sub`);
      const out = subscriber.output();
      assert.ok(out.subarray(0, head.length).equals(head), 'the init segment is another one');
      checkAll(payloads(out.subarray(head.length)));
    } finally {
      await subscriber.stop();
    }
  } finally {
    feed.stop();
    await publisher.stop();
  }
}

/** moq-dev's `moq` on both ends: it takes the file apart and makes another one; the samples are the same. */
export async function moqDev({ url, bin, name, version }) {
  const args = ['--connect', url, '--connect-tls-insecure', '--connect-version', version, '--broadcast', `${name}.hang`];
  const publisher = run(`${bin}/moq`, [...args, 'import', 'fmp4']);
  const feed = feeder(publisher.stdin);
  try {
    await publisher.until(() => feed.sent() >= 4, 'moq to take the first fragments');
    const subscriber = run(`${bin}/moq`, [...args, 'export', 'fmp4']);
    try {
      await subscriber.until((out) => samples(out).length >= WANTED, `${WANTED} samples at moq`);
      checkAll(samples(subscriber.output()));
    } finally {
      await subscriber.stop();
    }
  } finally {
    feed.stop();
    await publisher.stop();
  }
}

/** moq-clock-ietf on both ends: seconds go by. */
export async function clock({ url, bin, name }) {
  const args = ['--namespace', name, '--tls-disable-verify'];
  const publisher = run(`${bin}/moq-clock-ietf`, [...args, '--publish', url]);
  try {
    await publisher.until(ticks, 'the clock to tick');
    const subscriber = run(`${bin}/moq-clock-ietf`, [...args, url]);
    try {
      const times = (out) => out.toString().match(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g) ?? [];
      await subscriber.until((out) => new Set(times(out)).size >= 3, 'three seconds from the clock');
      const heard = [...new Set(times(subscriber.output()))].map((time) => Date.parse(`${time}Z`));
      assert.deepEqual(
        heard.slice(1).map((time, at) => time - heard[at]),
        heard.slice(1).map(() => 1000),
        'seconds are missing',
      );
      assert.ok(Math.abs(heard.at(-1) - Date.now()) < 5000, `the clock says ${new Date(heard.at(-1)).toISOString()}`);
    } finally {
      await subscriber.stop();
    }
  } finally {
    await publisher.stop();
  }
}

/** A clock that has ticked twice has long been announced. */
const ticks = (out) => out.toString().trim().split('\n').length >= 2;

/** Writes the file's head at once and a fragment whenever it is due. */
function feeder(stdin) {
  let sent = 0;
  stdin.write(header());
  const timer = setInterval(() => {
    if (sent >= SENT_MAX) return;
    stdin.write(fragment(sent, payload(sent)));
    sent += 1;
  }, FRAGMENT_MS);
  return { sent: () => sent, stop: () => clearInterval(timer) };
}

/** What fragment n carries: its number, and as many bytes as audio has. */
function payload(n) {
  const bytes = Buffer.alloc(PAYLOAD, n & 0xff);
  bytes.writeUInt32BE(n);
  return bytes;
}

/** Throws unless all are as they were sent, one after the other. */
function checkAll(all) {
  const numbers = all.map(check);
  const gaps = numbers.filter((n, at) => at > 0 && n !== numbers[at - 1] + 1);
  assert.deepEqual(gaps, [], `some are missing: ${numbers}`);
}

/** Returns a payload's number; throws when it is not as it was sent. */
function check(bytes) {
  const n = bytes.readUInt32BE();
  assert.ok(bytes.equals(payload(n)), `fragment ${n} is not as it was sent`);
  return n;
}

/** The contents of all whole mdat boxes. */
function payloads(bytes) {
  const found = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    const length = bytes.readUInt32BE(at);
    assert.ok(length >= 8, `a box of ${length} bytes`);
    if (at + length > bytes.length) break;
    if (bytes.toString('latin1', at + 4, at + 8) === 'mdat') found.push(bytes.subarray(at + 8, at + length));
    at += length;
  }
  return found;
}

/** The samples in all whole mdat boxes: a program may put several into one. */
function samples(bytes) {
  return payloads(bytes).flatMap((mdat) => {
    assert.equal(mdat.length % PAYLOAD, 0, `an mdat of ${mdat.length} bytes`);
    return Array.from({ length: mdat.length / PAYLOAD }, (_, n) => mdat.subarray(n * PAYLOAD, (n + 1) * PAYLOAD));
  });
}
