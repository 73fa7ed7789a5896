// Chromium whose microphone is a tone. Needs no sound card.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { WebPhone } from './phone.mjs';
import { writeTone } from './wav.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ACTION_MS = 10_000;

/**
 * Returns { phone(options), kill(), close() }: a browser with a tone of `hz` in every microphone, or with what
 * `write` writes to the WAV file whose path it is given.
 */
export async function launchChromium({ hz, write = (path) => writeTone(path, hz) }) {
  const folder = mkdtempSync(join(tmpdir(), 'moqrelay-chromium-'));
  const microphone = join(folder, 'tone.wav');
  write(microphone);
  const args = [
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
    `--use-file-for-fake-audio-capture=${microphone}`,
    '--autoplay-policy=no-user-gesture-required',
  ];
  if (process.getuid?.() === 0) args.push('--no-sandbox');
  const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args });
  return {
    hz,
    /**
     * Opens a phone in a profile of its own, or beside another one (`beside`) in the same.
     * `init` runs in the page before anything else.
     */
    async phone({ url, beside, init }) {
      const context = beside?.driver.context ?? (await browser.newContext({ locale: 'en-US' }));
      const page = await context.newPage();
      page.setDefaultTimeout(ACTION_MS);
      if (init !== undefined) await page.addInitScript(init);
      const phone = new WebPhone(driverOf(page, context), { hz });
      await phone.open(url);
      return phone;
    },
    /** Ends it as a crash does: it says nothing to anybody. */
    async kill() {
      const gone = new Promise((resolve) => browser.once('disconnected', resolve));
      const session = await browser.newBrowserCDPSession();
      // The answer dies with it.
      session.send('Browser.crash').catch(() => {});
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
    async close() {
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function driverOf(page, context) {
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  return {
    context,
    complaints,
    init: (script) => page.addInitScript(script),
    goto: (url) => page.goto(url),
    reload: () => page.reload(),
    evaluate: (body, argument) => page.evaluate(body, argument),
    click: (selector) => page.locator(selector).first().click(),
    fill: (selector, text) => page.locator(selector).first().fill(text),
    press: (key) => page.keyboard.press(key),
    close: () => page.close(),
  };
}
