// The measuring end in the page: which moment a frame of the AudioContext was, and when the microphone said what.
//
// Two clocks are laid over the computer's: the AudioContext's, by looking at `currentTime` every few milliseconds,
// and the microphone's, by a second reader of its track (MediaStreamTrackProcessor), whose timestamps are those of
// the capture. Looks come late, never early, so of all differences in a window the extreme one is the true one.
import { now } from './audiosocket.mjs';

/** Differences are compared within so many milliseconds before and after. */
const WINDOW_MS = 1_500;
const PINGS = 20;

/** Runs in the page before anything else. */
export function install() {
  const LOOK_MS = 4;
  const LOOKS_MAX = 60_000;
  const PAUSE_MS = 100;
  const LOUD = 0.03;
  const time = () => performance.timeOrigin + performance.now();
  const bench = { time, looks: [], chunks: [], bursts: [], contexts: [] };
  Object.defineProperty(globalThis, '__bench', { value: bench });

  const keep = (list, value) => {
    list.push(value);
    if (list.length > LOOKS_MAX) list.shift();
  };
  const Original = globalThis.AudioContext;
  globalThis.AudioContext = class extends Original {
    constructor(...options) {
      super(...options);
      bench.contexts.push(this);
    }
  };
  const look = () => {
    const context = bench.contexts.find(({ state }) => state === 'running');
    if (context !== undefined) keep(bench.looks, [time(), context.currentTime * 1000]);
    setTimeout(look, LOOK_MS);
  };
  look();

  const listen = async (track) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let quiet = Infinity;
    let samples = new Float32Array();
    for (;;) {
      const { value: chunk, done } = await reader.read();
      if (done) return;
      const { timestamp, sampleRate, numberOfFrames } = chunk;
      keep(bench.chunks, [time(), timestamp / 1000 + (numberOfFrames * 1000) / sampleRate]);
      if (samples.length !== numberOfFrames) samples = new Float32Array(numberOfFrames);
      chunk.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      chunk.close();
      for (let i = 0; i < numberOfFrames; i += 1) {
        if (Math.abs(samples[i]) <= LOUD) quiet += 1000 / sampleRate;
        else {
          if (quiet > PAUSE_MS) keep(bench.bursts, timestamp / 1000 + (i * 1000) / sampleRate);
          quiet = 0;
        }
      }
    }
  };
  const open = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = async function getUserMedia(...wishes) {
    const stream = await open.apply(this, wishes);
    const [track] = stream.getAudioTracks();
    const twin = track.clone();
    const stop = track.stop.bind(track);
    track.stop = () => {
      stop();
      twin.stop();
    };
    // Another microphone's timestamps have nothing to do with those of the one before.
    bench.chunks.length = 0;
    bench.bursts.length = 0;
    void listen(twin);
    return stream;
  };
}

/** Returns how far the page's clock is ahead of ours, and by how much that may be wrong; milliseconds. */
export async function clockOffset(phone) {
  let best = { ms: 0, error: Infinity };
  for (let n = 0; n < PINGS; n += 1) {
    const before = now();
    const there = await phone.driver.evaluate(() => __bench.time());
    const after = now();
    const error = (after - before) / 2;
    if (error < best.error) best = { ms: there - (before + after) / 2, error };
  }
  return best;
}

/**
 * What the page has seen in the last `seconds`, to be used with {@link microphoneBursts} and {@link frameTime};
 * `offset` is what {@link clockOffset} said.
 */
export async function read(phone, { offset, seconds }) {
  const seen = await phone.driver.evaluate(async (ms) => {
    const recent = ([at]) => at > __bench.time() - ms;
    const [looks, chunks] = [__bench.looks, __bench.chunks].map((list) => list.filter(recent));
    return { looks, chunks, bursts: __bench.bursts, probe: await __moqrelay.probe() };
  }, seconds * 1000);
  const steps = seen.looks.map(([, at], n) => at - (seen.looks[n - 1]?.[1] ?? at)).filter((step) => step > 0);
  return { ...seen, offset, quantumMs: percentile(steps, 0.5) };
}

/** Our time at which the microphone began each burst. */
export function microphoneBursts({ bursts, chunks, offset }) {
  return bursts.map((at) => at - lead(chunks, at) - offset.ms);
}

/** Our time at which a frame of the AudioContext had been rendered at the latest; NaN when nobody looked. */
export function frameTime({ looks, offset, quantumMs }, frame) {
  const at = frame / 48;
  return at - lead(looks, at) - offset.ms + quantumMs;
}

/** How far a clock is ahead of the page's around its time `at`. */
function lead(pairs, at) {
  let most = -Infinity;
  for (const [page, clock] of pairs) if (Math.abs(clock - at) <= WINDOW_MS) most = Math.max(most, clock - page);
  return most === -Infinity ? NaN : most;
}

/** The value below or at which `part` of the values are. */
export function percentile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? NaN;
}
