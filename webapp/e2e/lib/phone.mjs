// The web phone as a test sees it: what a person does, and what is on the screen and in the ear.
//
// Everything goes through a driver { goto, reload, evaluate, click, fill, press, close }, so that
// Chromium and Firefox are the same to a test. Names in quotes are data-testid (../../README.md).
import assert from 'node:assert/strict';
import { until } from './wait.mjs';

/** A bin of the page's spectrum is 2.93 Hz wide. */
const TOLERANCE_HZ = 4;
/** A tone counts when so many looks in a row see it. */
const LOOKS = 5;
const LOOK_MS = 100;
const HEAR_MS = 8_000;

/** Clean tones survive only without the processing that is made for voices. */
const RAW_SOUND = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export class WebPhone {
  constructor(driver, { hz }) {
    this.driver = driver;
    /** What its microphone says. */
    this.hz = hz;
    this.name = '';
    this.number = undefined;
  }

  async open(url) {
    this.url = url;
    await this.driver.init?.(
      // An empty page has no storage.
      `if (location.protocol !== 'about:') localStorage.getItem('moqrelay.settings') ?? localStorage.setItem('moqrelay.settings', '${JSON.stringify(RAW_SOUND)}')`,
    );
    await this.driver.goto(url);
  }

  /** Types a name at the door. */
  async signIn(name) {
    await this.see('sign-in');
    await this.driver.fill(id('sign-in-name'), name);
    await this.driver.click(id('sign-in-submit'));
    await this.ready();
  }

  /** Comes with a token in the address. */
  async signInWith(token) {
    await this.driver.goto('about:blank');
    await this.driver.goto(`${this.url}#token=${token}`);
    await this.ready();
  }

  /** Waits until it is registered, and its voice connected. */
  async ready() {
    await this.wait('the line to be ready', () => __moqrelay.line().name === 'ready', null, 30_000);
    await this.wait('the voice to be connected', () => __moqrelay.link().name === 'connected', null, 30_000);
    this.name = await this.text('me-name');
    this.number = (await this.has('me-number')) ? await this.text('me-number') : undefined;
  }

  // -- doing ------------------------------------------------------------------------------------

  click(testid) {
    return this.driver.click(id(testid));
  }

  /** Dials by the field. */
  async dial(to) {
    await this.dismissEnded();
    await this.driver.fill(id('dial-input'), to);
    await this.click('dial-call');
  }

  /** Clicks somebody in the list. */
  async callPerson(user) {
    await this.dismissEnded();
    await this.see(`person[data-user="${user}"]`);
    await this.click(`person[data-user="${user}"] [data-testid="person-call"]`);
  }

  async answer() {
    await this.see('incoming');
    await this.click('incoming-answer');
  }

  async hangUp() {
    await this.click('call-hangup');
  }

  /** Presses keys of the pad in a call. */
  async keys(digits) {
    if (!(await this.has('dtmf'))) await this.click('call-keypad');
    for (const digit of digits) await this.click(`dtmf-${{ '*': 'star', '#': 'hash' }[digit] ?? digit}`);
  }

  async dismissEnded() {
    await this.#clickIfThere('ended-close');
    await this.seeNo('ended');
  }

  /** Ends whatever a test has left. */
  async rest() {
    const quiet = async () => {
      for (const button of ['incoming-decline', 'call-hangup', 'ended-close']) await this.#clickIfThere(button);
      return !(await this.has('call')) && !(await this.has('incoming'));
    };
    await until(quiet, { what: `${this.name} to be at rest` });
  }

  /** What may go at any moment is clicked without waiting for it. */
  #clickIfThere(testid) {
    return this.driver.evaluate((selector) => document.querySelector(selector)?.click(), id(testid));
  }

  // -- seeing -----------------------------------------------------------------------------------

  has(testid) {
    return this.driver.evaluate((selector) => document.querySelector(selector) !== null, id(testid));
  }

  text(testid) {
    return this.driver.evaluate((selector) => document.querySelector(selector)?.textContent?.trim() ?? '', id(testid));
  }

  attribute(testid, name) {
    return this.driver.evaluate(([selector, key]) => document.querySelector(selector)?.getAttribute(key) ?? null, [id(testid), name]);
  }

  see(testid, ms) {
    return this.wait(`"${testid}" on ${this.name}'s screen`, (selector) => document.querySelector(selector) !== null, id(testid), ms);
  }

  seeNo(testid, ms) {
    return this.wait(`"${testid}" to leave ${this.name}'s screen`, (selector) => document.querySelector(selector) === null, id(testid), ms);
  }

  /** Waits for a state of the call in front: dialing, calling, ringing, early, answering, up, held. */
  call(state, ms) {
    return this.see(`call[data-state="${state}"]`, ms);
  }

  /** Waits for the end of the call in front; returns its cause. */
  async ended(ms) {
    await this.see('ended', ms);
    return this.attribute('ended', 'data-cause');
  }

  /** Asks in the page until the answer is true. */
  wait(what, body, argument = null, ms = 10_000) {
    return until(() => this.driver.evaluate(body, argument), { what: `${what} (${this.name})`, ms });
  }

  /** Begins to watch for something to come (`true`) or go; resolves to the `Date.now()` of that. */
  moment(testid, present = true) {
    return this.driver.evaluate(
      ([selector, wanted]) =>
        new Promise((resolve, reject) => {
          const done = () => (document.querySelector(selector) !== null) === wanted;
          const finish = () => {
            if (!done()) return;
            clearTimeout(timer);
            observer.disconnect();
            resolve(Date.now());
          };
          const observer = new MutationObserver(finish);
          const timer = setTimeout(() => reject(new Error(`${selector} did not ${wanted ? 'come' : 'go'}`)), 10_000);
          observer.observe(document.body, { subtree: true, childList: true, attributes: true });
          finish();
        }),
      [id(testid), present],
    );
  }

  /** Clicks from inside the page; returns the `Date.now()` of the click. */
  clickedAt(testid) {
    return this.driver.evaluate((selector) => {
      const at = Date.now();
      document.querySelector(selector).click();
      return at;
    }, id(testid));
  }

  // -- hearing ----------------------------------------------------------------------------------

  /** Waits until a tone is heard for half a second. */
  async hears(hz, ms = HEAR_MS) {
    const seen = [];
    await this.#look(ms, seen, (peak) => peak !== null && Math.abs(peak - hz) <= TOLERANCE_HZ, `a tone of ${hz} Hz`);
  }

  /** Waits until nothing is heard for half a second. */
  async hearsNothing(ms = HEAR_MS) {
    await this.#look(ms, [], (peak) => peak === null, 'silence');
  }

  /**
   * Counts what is missing from now on; the returned function tells how much: sound that the playout
   * worklet made up because none was there (ms), objects that never came, changes of the session.
   */
  async count() {
    const before = await this.#counters();
    return async () => {
      const now = await this.#counters();
      return Object.fromEntries(Object.entries(now).map(([name, value]) => [name, Math.round(value - before[name])]));
    };
  }

  #counters() {
    return this.driver.evaluate(async () => {
      const { moves, sent, peers } = await __moqrelay.stats();
      const [{ concealedMs, received, lost, late }] = peers;
      return { concealedMs, received, lost, late, sent, moves };
    });
  }

  /** How sound travels now: `webtransport`, `websocket`, or the link's state. */
  way() {
    return this.driver.evaluate(() => __moqrelay.link().way ?? __moqrelay.link().name);
  }

  async #look(ms, seen, fits, what) {
    let row = 0;
    const look = async () => {
      const peak = await this.driver.evaluate(() => __moqrelay.peakHz());
      seen.push(peak === null ? 'silence' : Math.round(peak));
      row = fits(peak) ? row + 1 : 0;
      return row >= LOOKS;
    };
    try {
      await until(look, { what, ms, poll: LOOK_MS });
    } catch (error) {
      throw new Error(`${this.name}: ${error.message}; heard ${seen.slice(-12).join(', ')}; ${await this.state()}`);
    }
  }

  /** What a failure's report needs. */
  state() {
    return this.driver.evaluate(async () => {
      const stats = await __moqrelay.stats().catch(String);
      const calls = __moqrelay.calls().calls.map(({ id, phase, held, muted }) => ({ id, phase: phase.name, held, muted }));
      return JSON.stringify({ line: __moqrelay.line(), link: __moqrelay.link(), microphone: __moqrelay.microphone(), calls, stats });
    });
  }

  close() {
    return this.driver.close();
  }
}

/** Two phones hear each other's tone. */
export async function hearEachOther(one, two) {
  await Promise.all([one.hears(two.hz), two.hears(one.hz)]);
}

/** One calls two by the list; both are up. */
export async function connect(one, two, user) {
  await one.callPerson(user);
  await two.answer();
  await Promise.all([one.call('up'), two.call('up')]);
}

/** `act` ends the call of `other` within `ms`. */
export async function endsWithin(ms, act, other) {
  const gone = other.moment('call', false);
  const at = await act();
  const took = (await gone) - at;
  assert.ok(took <= ms, `the other side's call ended after ${took} ms, at most ${ms} are allowed`);
  return took;
}

/** A selector; attributes may follow the name: `call[data-state="up"]`. */
function id(testid) {
  const at = testid.indexOf('[');
  return at < 0 ? `[data-testid="${testid}"]` : `[data-testid="${testid.slice(0, at)}"]${testid.slice(at)}`;
}
