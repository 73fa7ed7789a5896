// A daemon, a real Asterisk, web phones in a browser and SIP telephones: all that most tests with telephones need.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAsterisk, startPhone, startProvider } from '../../../deploy/asterisk/harness.mjs';
import { launchChromium } from './chromium.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from './daemon.mjs';
import { compareRecords } from './records.mjs';
import { until } from './wait.mjs';

/** A port that was free may be taken before it is used. */
const ATTEMPTS = 3;
const ARI_MS = 20_000;
const LOG_LINES = 60;
const BROWSER_HZ = 440;

/**
 * Starts everything, in the order in which it needs each other. `toml(asterisk)` is the daemon's configuration,
 * `users` are signed in on web phones of one browser ({ id, name, number }), `phones` are SIP telephones
 * ({ name, hz, … } as `startPhone` takes them, `at: 'provider'` for one that is registered there), `asterisk` is added
 * to what Asterisk is started with, `provider`: with a provider's Kamailio, `ari: false`: the daemon does not use it.
 *
 * Returns { asterisk, daemon, provider, browser, web: { id: WebPhone }, sip: { name: phone }, records (the daemon's file),
 * knownToAsterisk(), rest(), report(), stop() }.
 */
export async function startSite(wanted) {
  for (let attempt = 1; ; attempt += 1) {
    const folder = mkdtempSync(join(tmpdir(), 'moqrelay-records-'));
    const site = { web: {}, sip: {}, folder, records: join(folder, 'calls.jsonl') };
    try {
      await start(site, wanted);
      return site;
    } catch (error) {
      await end(site);
      if (attempt === ATTEMPTS || !/cannot listen/.test(String(error))) throw error;
    }
  }
}

async function start(site, { toml, users = [], phones = [], asterisk: more = {}, provider = false, ari = true }) {
  const ports = await freePorts();
  if (provider) site.provider = await startProvider();
  site.asterisk = await startAsterisk({
    provider: site.provider,
    audiosocket: `127.0.0.1:${ports.audiosocket}`,
    api: `http://127.0.0.1:${ports.http}`,
    secret: ASTERISK_SECRET,
    ...more,
  });
  site.daemon = await startDaemon({ ports, toml: withRecords(toml(site.asterisk), site.records) });
  /** Waits until the daemon is connected to ARI. */
  site.knownToAsterisk = () =>
    until(async () => /moqrelay/.test(await site.asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: ARI_MS });
  if (ari) await site.knownToAsterisk();
  if (users.length > 0) site.browser = await launchChromium({ hz: BROWSER_HZ });
  for (const user of users) {
    site.web[user.id] = await site.browser.phone({ url: site.daemon.url });
    await site.web[user.id].signInWith(site.daemon.token(user));
  }
  for (const { at, ...phone } of phones) {
    site.sip[phone.name] = await startPhone({ asterisk: at === 'provider' ? site.provider.world : site.asterisk, ...phone });
  }
  /** Ends whatever a test has left. */
  site.rest = async () => {
    for (const phone of Object.values(site.web)) await phone.rest();
    for (const phone of Object.values(site.sip)) await phone.hangUp().catch(() => {});
  };
  /** Prints what each has logged last. */
  site.report = () => {
    for (const part of [site.daemon, site.asterisk, site.provider]) {
      if (part !== undefined) console.error(`${part.log().split('\n').slice(-LOG_LINES).join('\n')}\n--`);
    }
  };
  /** Ends everything; fails when the daemon ended with a fault, Asterisk has a channel left, or a call's records differ. */
  site.stop = async () => {
    const { status, channels, compared } = await end(site, () => compareRecords(site.asterisk, site.records));
    if (compared instanceof Error) throw compared;
    if (compared !== undefined) console.log(`# ${compared} parts of calls as long as Asterisk has them`);
    assert.equal(status, 0, `the daemon ended with ${status}`);
    assert.match(channels, /^0 active channels/m, 'a channel is left in Asterisk');
  };
}

async function end({ asterisk, daemon, provider, browser, sip, folder }, look = async () => {}) {
  for (const phone of Object.values(sip)) await phone.stop();
  await browser?.close();
  const status = await daemon?.stop();
  const channels = await asterisk?.cli('core show channels').catch(String);
  const compared = await look().catch((error) => error);
  await asterisk?.stop();
  await provider?.stop();
  rmSync(folder, { recursive: true, force: true });
  return { status, channels, compared };
}

/** Has a configuration write call records there. */
function withRecords(toml, file) {
  const key = `records = "${file}"`;
  return /^\[calls\]$/m.test(toml) ? toml.replace(/^\[calls\]$/m, `[calls]\n${key}`) : `[calls]\n${key}\n${toml}`;
}

/** The configuration for Asterisk's ARI; `more` are further lines of its section. */
export function ariToml({ ari: { url, user, password } }, more = '') {
  return `
[asterisk.ari]
url = "${url}"
user = "${user}"
password = "${password}"
dial = "Local/{number}@internal/n"
${more}
`;
}
