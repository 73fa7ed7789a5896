// Firefox over WebDriver BiDi, without geckodriver. Its microphone is a continuous tone of 440 Hz.
//
// Without an audio output a headless Firefox keeps every AudioContext suspended: PulseAudio with a
// sink that leads nowhere is one.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { WebPhone } from './phone.mjs';
import { until } from './wait.mjs';

const EXECUTABLE = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
const MICROPHONE_HZ = 440;
const START_MS = 60_000;
const ACTION_MS = 10_000;
const CLOSE_MS = 5_000;
const COMMAND_MS = 20_000;
const LOG_CHARS_MAX = 200_000;

const PREFERENCES = {
  'remote.active-protocols': 1,
  // A microphone without a sound card, no questions, sound without a click.
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.navigator.audio.fake_frequency': MICROPHONE_HZ,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'media.block-autoplay-until-in-foreground': false,
  'intl.accept_languages': 'en-US',
  // Nothing of its own on the network.
  'app.update.enabled': false,
  'browser.safebrowsing.downloads.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage': 'about:blank',
  'datareporting.policy.dataSubmissionEnabled': false,
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.enabled': false,
};

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Returns { phone({ url }), close() }. */
export async function launchFirefox() {
  const folder = mkdtempSync(join(tmpdir(), 'moqrelay-firefox-'));
  const pulse = await startPulse(folder);
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
  writeFileSync(join(folder, 'user.js'), lines.join('\n'));
  const args = ['--headless', '--no-remote', '--profile', folder, '--remote-debugging-port=0'];
  const firefox = launch(EXECUTABLE, args, { PULSE_SERVER: `unix:${pulse.socket}`, HOME: folder });
  const address = await firefox.said(/WebDriver BiDi listening on (ws:\/\/\S+)/, START_MS);
  const bidi = await Bidi.open(`${address}/session`);
  await bidi.send('session.new', { capabilities: {} }, START_MS);
  await bidi.send('session.subscribe', { events: ['log.entryAdded'] });
  return {
    hz: MICROPHONE_HZ,
    async phone({ url }) {
      const { context } = await bidi.send('browsingContext.create', { type: 'tab' });
      // A tab that nobody has looked at may not make a sound.
      await bidi.send('browsingContext.activate', { context });
      const phone = new WebPhone(driverOf(bidi, context), { hz: MICROPHONE_HZ });
      await phone.open(url);
      return phone;
    },
    async close() {
      await Promise.race([bidi.send('browser.close').catch(() => {}), firefox.ended, pause(CLOSE_MS)]);
      bidi.close();
      await firefox.stop();
      await pulse.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function driverOf(bidi, context) {
  const evaluate = async (body, argument = null) => {
    const result = await bidi.send('script.evaluate', {
      expression: `(async () => JSON.stringify((await (${body})(${JSON.stringify(argument)})) ?? null))()`,
      target: { context },
      awaitPromise: true,
      userActivation: true,
    });
    if (result.type === 'exception') throw new Error(result.exceptionDetails.text);
    return JSON.parse(result.result.value);
  };
  // A person can only click what is there, seen and enabled.
  const usable = (selector) =>
    until(() => evaluate((css) => [...document.querySelectorAll(css)].some((element) => element.checkVisibility() && !element.disabled), selector), {
      what: `${selector} to be usable`,
      ms: ACTION_MS,
    });
  return {
    complaints: bidi.complaints,
    evaluate,
    init: (script) => bidi.send('script.addPreloadScript', { functionDeclaration: `() => { ${script} }`, contexts: [context] }),
    goto: (url) => bidi.send('browsingContext.navigate', { context, url, wait: 'complete' }),
    reload: () => bidi.send('browsingContext.reload', { context, wait: 'complete' }),
    async click(selector) {
      await usable(selector);
      await evaluate((css) => [...document.querySelectorAll(css)].find((element) => element.checkVisibility() && !element.disabled).click(), selector);
    },
    async fill(selector, text) {
      await usable(selector);
      await evaluate(
        ([css, value]) => {
          const field = document.querySelector(css);
          field.focus();
          field.value = value;
          field.dispatchEvent(new Event('input', { bubbles: true }));
        },
        [selector, text],
      );
    },
    press: (key) =>
      bidi.send('input.performActions', {
        context,
        actions: [{ type: 'key', id: 'keyboard', actions: [{ type: 'keyDown', value: key }, { type: 'keyUp', value: key }] }],
      }),
    close: () => bidi.send('browsingContext.close', { context }),
  };
}

/** Commands and their answers over one WebSocket. */
class Bidi {
  complaints = [];
  #socket;
  #waiting = new Map();
  #last = 0;

  static async open(url) {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return new Bidi(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('message', (text) => this.#receive(JSON.parse(text)));
    socket.on('close', () => this.#fail('the connection to Firefox is closed'));
    socket.on('error', () => {});
  }

  send(method, params = {}, ms = COMMAND_MS) {
    return new Promise((resolve, reject) => {
      this.#last += 1;
      const id = this.#last;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`Firefox did not answer ${method} in ${ms} ms: ${JSON.stringify(params).slice(0, 300)}`));
      }, ms);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  close() {
    this.#socket.close();
  }

  #receive(message) {
    if (message.method === 'log.entryAdded' && message.params.level === 'error') this.complaints.push(message.params.text);
    const waiter = this.#waiting.get(message.id);
    if (waiter === undefined) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiter.timer);
    if (message.type === 'error') waiter.reject(new Error(`${message.error}: ${message.message}`));
    else waiter.resolve(message.result);
  }

  #fail(why) {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error(why));
    }
    this.#waiting.clear();
  }
}

async function startPulse(folder) {
  // Not "pulse": that is PulseAudio's own folder there.
  const socket = join(folder, 'sound.socket');
  const args = ['-n', '--exit-idle-time=-1', '--daemonize=no', '--use-pid-file=no', '-L', 'module-null-sink rate=48000'];
  args.push('-L', `module-native-protocol-unix auth-anonymous=1 socket=${socket}`);
  const pulse = launch('pulseaudio', args, { HOME: folder, XDG_RUNTIME_DIR: folder });
  await until(() => existsSync(socket), { what: `PulseAudio's socket; it said ${pulse.log()}`, ms: START_MS });
  return { socket, stop: pulse.stop };
}

function launch(program, args, env) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
  running.add(child);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    text = (text + chunk).slice(-LOG_CHARS_MAX);
  });
  let over = false;
  const ended = new Promise((resolve) => {
    child.once('error', resolve);
    child.once('close', resolve);
  }).then(() => {
    over = true;
    running.delete(child);
  });
  return {
    ended,
    log: () => text,
    async said(pattern, ms) {
      const look = () => {
        const found = pattern.exec(text);
        if (found === null && over) throw new Error(`${program} ended: ${text}`);
        return found?.[1];
      };
      return until(look, { what: `${program} to say ${pattern}`, ms });
    },
    async stop() {
      if (over) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

const pause = (ms) =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
