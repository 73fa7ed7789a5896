// A daemon, a real Asterisk and the ways between them, each of which can be cut.
import { readdirSync } from 'node:fs';
import { startAsterisk } from '../../../deploy/asterisk/harness.mjs';
import { ASTERISK_SECRET, freePorts, startDaemon } from '../lib/daemon.mjs';
import { next, startDevice } from '../lib/device.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { until } from '../lib/wait.mjs';

/** Users 7001 to 7008, a device each. */
const PEOPLE = 8;
/** A ticket that nobody has used is good for 30 s. */
const EMPTY_MS = 60_000;
/** Connections of our own that are kept open between questions: for metrics, and the daemon's to ARI. */
const IDLE_MAX = 8;
const GAUGES = [
  'moqrelay_calls',
  'moqrelay_legs',
  'moqrelay_tickets',
  'moqrelay_bridge_legs',
  'moqrelay_bridge_connections_unidentified',
  'moqrelay_relay_tracks',
];

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A port that was free may be taken before it is used. */
const ATTEMPTS = 3;

/** Starts everything; `stop()` of what it returns ends everything and gives the daemon's exit status. */
export async function startWorld() {
  for (let attempt = 1; ; attempt += 1) {
    const parts = [];
    try {
      return await start(parts);
    } catch (error) {
      for (const stop of parts.toReversed()) await stop();
      if (attempt === ATTEMPTS || !/cannot listen/.test(String(error))) throw error;
    }
  }
}

/** `parts` gets what ends each part. */
async function start(parts) {
  const ports = await freePorts();
  const sound = await startProxy(ports.audiosocket);
  parts.push(() => sound.close());
  const asterisk = await startAsterisk({
    audiosocket: `127.0.0.1:${sound.port}`,
    api: `http://127.0.0.1:${ports.http}`,
    secret: ASTERISK_SECRET,
  });
  parts.push(() => asterisk.stop());
  const control = await startProxy(asterisk.ports.http);
  parts.push(() => control.close());
  const { user, password } = asterisk.ari;
  const daemon = await startDaemon({
    ports,
    toml: `[asterisk.ari]
url = "http://127.0.0.1:${control.port}/ari"
user = "${user}"
password = "${password}"
dial = "Local/{number}@internal/n"
audiosocket = "127.0.0.1:${sound.port}"
`,
  });
  parts.push(() => daemon.stop());
  const people = [];
  for (let n = 1; n <= PEOPLE; n += 1) people.push(await startDevice({ daemon, id: `user${n}`, number: `700${n}` }));

  const world = {
    asterisk,
    daemon,
    sound,
    control,
    people,
    metric: async (name) => sumOf(await daemon.metrics(), name),
    /** Asks Asterisk's own REST interface, whatever is cut. */
    async ari(method, path) {
      const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
      const answer = await fetch(`${asterisk.ari.url}/${path}`, { method, headers: { authorization } });
      const text = await answer.text();
      if (!answer.ok && answer.status !== 404) throw new Error(`ARI: ${method} ${path}: ${answer.status} ${text}`);
      return answer.ok && text !== '' ? JSON.parse(text) : undefined;
    },
    /** A telephone that waits in the dialplan, without a telephone: it calls `number` and listens once it is answered. */
    telephone: (id, number) =>
      world.ari('POST', `channels?endpoint=${encodeURIComponent(`Local/${number}@internal`)}&extension=612&context=internal&priority=1&callerId=555&channelId=${id}`),
    /** Waits until ARI's events come to the daemon. */
    connected: () => until(async () => (await world.metric('moqrelay_ari_up')) === 1, { what: 'the daemon to be connected to ARI', ms: 30_000 }),
    async stop() {
      for (const device of people) device.close();
      const status = await daemon.stop();
      for (const stop of parts.toReversed()) await stop();
      return status;
    },
  };
  await world.connected();
  // What is opened once and kept is there from the first call on.
  await talk(world, people[0]);
  world.standing = { tasks: await world.metric('moqrelay_tasks'), files: files(daemon.pid) };
  await isEmpty(world);
  return world;
}

/** A device calls the echo of Asterisk's, both sides are connected, it hangs up: the plainest call works. */
export async function talk(world, device) {
  const up = next(device, (event) => event.type === 'up', { what: 'the echo to answer' });
  const ended = next(device, (event) => event.type === 'ended', { what: 'the end of the call to the echo' });
  const { call } = await device.request('call', { to: '600' });
  await up;
  await device.request('hangup', { call });
  await ended;
}

/** Waits until neither Asterisk nor the daemon has anything of a call left; returns what it found in words. */
export async function isEmpty(world) {
  let found = '';
  const look = async () => {
    const channels = await world.asterisk.cli('core show channels count');
    const bridges = (await world.asterisk.cli('bridge show all')).trim().split('\n').length - 1;
    const text = await world.daemon.metrics();
    const left = GAUGES.map((name) => [name, sumOf(text, name)]).filter(([, value]) => value !== 0);
    const tasks = sumOf(text, 'moqrelay_tasks') - world.standing.tasks;
    const open = files(world.daemon.pid) - world.standing.files;
    const alive = world.people.reduce((sum, device) => sum + device.live.size, 0);
    found = `${channels.match(/\d+ active channels?/)?.[0]}, ${bridges} bridges, ${left.map((pair) => pair.join(' ')).join(', ') || 'all gauges 0'}, tasks ${signed(tasks)}, files ${signed(open)}`;
    return /\b0 active channels/.test(channels) && bridges <= 0 && left.length === 0 && alive === 0 && tasks <= IDLE_MAX && open <= IDLE_MAX;
  };
  await until(look, { what: 'nothing to be left', ms: EMPTY_MS, poll: 250 }).catch((error) => {
    throw new Error(`${error.message}; there is: ${found}`);
  });
  return found;
}

/** Returns how many calls ended by which cause; fails unless each that a device was told of ended there exactly once. */
export function endedOnce(world) {
  const causes = {};
  for (const { id, endings } of world.people) {
    for (const [call, ends] of endings) {
      if (ends.length !== 1) throw new Error(`${id}: call ${call} ended ${ends.length} times`);
      const [{ cause }] = ends;
      causes[cause] = (causes[cause] ?? 0) + 1;
    }
    endings.clear();
  }
  return causes;
}

function sumOf(text, name) {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

const files = (pid) => readdirSync(`/proc/${pid}/fd`).length;
const signed = (n) => (n > 0 ? `+${n}` : `${n}`);
