// Starts the daemon on free ports with a configuration of its own, and ends it.
//
// The program is $MOQRELAY_BIN, or what `cargo build` made; the page is the one built into it, or
// the folder $MOQRELAY_WEB.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './wait.mjs';

export const BINARY = process.env.MOQRELAY_BIN ?? fileURLToPath(new URL('../../../target/debug/moqrelay', import.meta.url));
const KEY = { id: 'e2e', secret: 'a secret of the end-to-end tests, 32 bytes and more' };
export const ASTERISK_SECRET = 'moqrelay-test-secret';

const START_MS = 20_000;
const STOP_MS = 15_000;
/** A free port may be taken before it is used. */
const ATTEMPTS = 3;
const LOG_CHARS_MAX = 4_000_000;

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Ports for a daemon that is started later, for who has to know them before. */
export async function freePorts() {
  return { moq: await freePort('udp'), http: await freePort('tcp'), metrics: await freePort('tcp'), audiosocket: await freePort('tcp') };
}

/**
 * Returns { url, ports, pid, log(), stop(), restart(), takeOver(), token(), sessions(), goAway(), metrics(), transport() }.
 * `toml` is added to the configuration; `ports` are free ones unless given; `url` is what browsers are
 * told to connect to. `open`: MoQ clients need no token.
 */
export async function startDaemon({ toml = '', ports, url: moqUrl, open = false, fallback = true } = {}) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: cargo build --package moqrelay, or set MOQRELAY_BIN`);
  const folder = mkdtempSync(join(tmpdir(), 'moqrelay-e2e-'));
  let program;
  for (let attempt = 1; program === undefined; attempt += 1) {
    const chosen = ports ?? (await freePorts());
    writeFileSync(join(folder, 'relay.toml'), configuration({ folder, ports: chosen, more: toml, moqUrl, open, fallback }));
    try {
      program = { ...(await start(folder, chosen)), ports: chosen };
    } catch (error) {
      if (ports !== undefined || attempt === ATTEMPTS || !/cannot listen/.test(String(error))) throw error;
    }
  }
  const { ports: used } = program;
  const url = `http://localhost:${used.http}/`;
  return {
    url,
    ports: used,
    log: () => program.log(),
    get pid() {
      return program.pid;
    },
    /** Asks it politely to end; returns its exit status. */
    async stop() {
      const status = await program.stop();
      rmSync(folder, { recursive: true, force: true });
      return status;
    },
    /** Ends it and starts it again on the same ports. */
    async restart() {
      await program.stop();
      program = await start(folder, used);
    },
    /**
     * Starts a second process that takes over from it. The rest of the handle is then about that one;
     * returns the old one: { log(), ended, stop() }.
     */
    async takeOver() {
      const old = program;
      program = await start(folder, used, ['--take-over']);
      return old;
    },
    /** A token for a user, as an application would sign it. */
    token: ({ id, name = id, number, seconds = 3600 }) => sign({ sub: id, name, ...(number === undefined ? {} : { number }), seconds }),
    /** A token for a MoQ client that may subscribe below a path. */
    listenerToken: (path) => sign({ get: [path], seconds: 3600 }),
    /** The relay's sessions, as operators see them. */
    sessions: async () => (await (await fetch(`http://127.0.0.1:${used.metrics}/api/v1/relay/sessions`)).json()).sessions,
    /** Asks a session to go to `uri`; empty: to come back. */
    async goAway(session, uri = '') {
      const body = JSON.stringify({ uri, timeout_ms: 10_000 });
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`http://127.0.0.1:${used.metrics}/api/v1/relay/sessions/${session}/goaway`, { method: 'POST', headers, body });
      if (answer.status !== 202) throw new Error(`goaway: ${answer.status} ${await answer.text()}`);
    },
    metrics: async () => (await fetch(`http://127.0.0.1:${used.metrics}/metrics`)).text(),
    transport: async () => (await fetch(`${url}api/v1/transport`)).json(),
  };
}

function configuration({ folder, ports, more, moqUrl, open, fallback }) {
  const everything = open ? 'anonymous_publish = [""]\nanonymous_subscribe = [""]' : '';
  const told = moqUrl === undefined ? '' : `url = ${JSON.stringify(moqUrl)}`;
  const web = process.env.MOQRELAY_WEB === undefined ? '' : `folder = ${JSON.stringify(process.env.MOQRELAY_WEB)}`;
  return `
[log]
level = "info,moqrelay=debug"

[moq]
listen = "127.0.0.1:${ports.moq}"
fallback = ${fallback}
${told}

[http]
listen = "127.0.0.1:${ports.http}"
origins = ["*"]
${web}

[metrics]
listen = "127.0.0.1:${ports.metrics}"

[auth]
guests = true
${everything}

[[auth.keys]]
id = "${KEY.id}"
algorithm = "HS256"
secret = "${KEY.secret}"

[upgrade]
socket = "${folder}/upgrade.sock"

[asterisk]
audiosocket = "127.0.0.1:${ports.audiosocket}"
secret = "${ASTERISK_SECRET}"

${more}
`;
}

async function start(folder, ports, args = []) {
  const child = spawn(BINARY, ['--config', join(folder, 'relay.toml'), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  let text = '';
  let status;
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    text = (text + chunk).slice(-LOG_CHARS_MAX);
  });
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('close', (code, signal) => resolve(code ?? signal));
  }).then((how) => {
    status = how;
    running.delete(child);
    return how;
  });
  const ready = async () => {
    if (status !== undefined) throw new Error(`the daemon ended with ${status}:\n${text.slice(-3000)}`);
    // Until then it is the other one that answers.
    if (args.includes('--take-over') && !/took over from the running daemon/.test(text)) return false;
    const answer = await fetch(`http://127.0.0.1:${ports.metrics}/health/ready`).catch(() => null);
    return answer?.ok === true;
  };
  try {
    await until(ready, { what: 'the daemon to be ready', ms: START_MS });
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${error.message}\n${text.slice(-3000)}`);
  }
  return {
    pid: child.pid,
    log: () => text,
    ended,
    async stop() {
      if (status !== undefined) return status;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      const how = await ended;
      clearTimeout(timer);
      return how;
    },
  };
}

function sign({ seconds, ...claims }) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ alg: 'HS256', typ: 'JWT', kid: KEY.id })}.${part({ aud: 'moqrelay', exp: now + seconds, ...claims })}`;
  return `${text}.${createHmac('sha256', KEY.secret).update(text).digest('base64url')}`;
}

function freePort(kind) {
  return new Promise((resolve, reject) => {
    if (kind === 'udp') {
      const socket = createSocket('udp4').once('error', reject);
      socket.bind(0, '127.0.0.1', () => {
        const { port } = socket.address();
        socket.close(() => resolve(port));
      });
    } else {
      const server = createServer().once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address();
        server.close(() => resolve(port));
      });
    }
  });
}
