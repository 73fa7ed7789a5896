// When something was clicked in a page that runs `install` (./page.mjs), and when it sounded.
import { until } from '../lib/wait.mjs';
import { frameTime, percentile, read } from './page.mjs';

/** Before those that count: the browser has loaded everything then. */
export const REHEARSALS = 1;

const SOUND_MS_MAX = 10_000;
/** The worklet reports a burst at once; this is between two looks. */
const LOOK_MS = 50;
/** What is looked at of the clocks: longer than a call takes to begin. */
const SEEN_S = 5;

/** Clicks as soon as it can be; returns the page's time of that. */
export function click(phone, selector) {
  return phone.driver.evaluate(
    (css) =>
      new Promise((resolve, reject) => {
        const deadline = __bench.time() + 10_000;
        const attempt = () => {
          const button = document.querySelector(css);
          if (button !== null && !button.disabled) {
            const at = __bench.time();
            button.click();
            resolve(at);
          } else if (__bench.time() > deadline) reject(new Error(`${css} cannot be clicked`));
          else setTimeout(attempt, 5);
        };
        attempt();
      }),
    selector,
  );
}

/** Waits for the first sound after `at`, a time of our own; returns when it was rendered. */
export async function firstSound(phone, at, offset) {
  const look = async () => {
    const page = await read(phone, { offset, seconds: SEEN_S });
    return page.probe.played.map((frame) => frameTime(page, frame)).find((time) => time >= at);
  };
  try {
    return await until(look, { what: `the first sound (${phone.name})`, ms: SOUND_MS_MAX, poll: LOOK_MS });
  } catch (error) {
    throw new Error(`${error.message}; ${await phone.state()}`);
  }
}

/** Sums up what they took, in milliseconds; `of` says what they are, `most` what the 95th percentile may be. */
export function verdict(took, { most, of, notes = [] }) {
  const [p50, p95, max] = [0.5, 0.95, 1].map((part) => percentile(took, part));
  return {
    figures: [`p50 ${ms(p50)}, p95 ${ms(p95)}, max ${ms(max)} (${took.length} ${of})`, ...notes].join('; '),
    verdict: p95 <= most ? 'met' : 'missed',
  };
}

export const ms = (value) => `${value.toFixed(0)} ms`;
