// `moqrelay init-asterisk` and `moqrelay doctor` with a real Asterisk: what the one writes works at
// once, and the other finds nothing there, but each mistake that is planted, and names it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort, peak, startAsterisk, startPhone } from '../../deploy/asterisk/harness.mjs';
import { BINARY, freePorts, startDaemon } from './lib/daemon.mjs';
import { until } from './lib/wait.mjs';

/** `milliwatt`, a party that is built in: 1004 Hz. */
const TONE_HZ = 1004;
const TONE_MS = 3_000;

const folder = mkdtempSync(join(tmpdir(), 'moqrelay-doctor-'));
const snippets = join(folder, 'asterisk');
let ports;
let asterisk;
let good;

before(async () => {
  ports = { ...(await freePorts()), ari: await freePort('tcp') };
  good = configuration({});
  mkdirSync(snippets);
  const { status, stderr } = await moqrelay('init-asterisk', '--config', file('good.toml', good), '--asterisk', '22.10', '--write', snippets);
  assert.equal(status, 0, stderr);
  // Asterisk reads them as another user than the one who wrote them, as on a system of its own.
  for (const name of readdirSync(snippets)) chmodSync(join(snippets, name), 0o644);
  asterisk = await startAsterisk({ snippets, ports: { http: ports.ari } });
});

after(async () => {
  await asterisk?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('init-asterisk', () => {
  test('what it writes is whole, and kept from others', () => {
    assert.deepEqual(readdirSync(snippets).sort(), [
      'ari-moqrelay.conf',
      'extensions-moqrelay.conf',
      'globals-moqrelay.conf',
      'http-moqrelay.conf',
      'modules-moqrelay.conf',
      'pjsip-moqrelay.conf',
    ]);
    assert.match(readFileSync(join(snippets, 'globals-moqrelay.conf'), 'utf8'), new RegExp(`^MOQRELAY_AUDIOSOCKET = 127.0.0.1:${ports.audiosocket}$`, 'm'));
  });

  test('it replaces nothing unless it is told to', async () => {
    const place = join(folder, 'place');
    mkdirSync(place);
    writeFileSync(join(place, 'ari-moqrelay.conf'), 'mine');
    const args = ['init-asterisk', '--config', file('good.toml', good), '--asterisk', '22.10', '--write', place];

    const refused = await moqrelay(...args);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /ari-moqrelay\.conf is there already/);
    assert.deepEqual(readdirSync(place), ['ari-moqrelay.conf']);

    assert.equal((await moqrelay(...args, '--force')).status, 0);
    assert.match(readFileSync(join(place, 'ari-moqrelay.conf'), 'utf8'), /password = a-password-of-tests/);
    assert.equal(statSync(join(place, 'globals-moqrelay.conf')).mode & 0o777, 0o640);
  });

  test('it asks the Asterisk that runs for its version, and prints', async () => {
    const { status, stdout, stderr } = await moqrelay('init-asterisk', '--config', file('good.toml', good));

    assert.equal(status, 0, stderr);
    assert.match(stderr, /for Asterisk 22\.\d+ \(says ARI\)/);
    assert.match(stdout, /===== http-moqrelay\.conf =====/);
  });

  test('with what it wrote a telephone hears a browser party', async () => {
    const daemon = await startDaemon({ ports, toml: roads({}) });
    const alice = await startPhone({ asterisk, name: 'alice', hz: 700 });
    try {
      await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
      // The users milliwatt and echo are known by name, which telephones cannot dial: by a number that leads there.
      await asterisk.cli('dialplan add extension 7998,1,Goto(moqrelay-ring,milliwatt,1) into internal');
      await alice.dial('7998');
      await alice.established();
      await new Promise((resolve) => setTimeout(resolve, TONE_MS));
      await alice.hangUp();

      const { hz, level } = peak(alice.heard);
      assert.ok(Math.abs(hz - TONE_HZ) <= 5 && level > 1000, `the telephone heard ${hz} Hz at level ${level}`);
    } finally {
      await alice.stop();
      await daemon.stop();
    }
  });
});

describe('by https', () => {
  let port;
  const wanted = () => ({ url: `https://127.0.0.1:${port}/ari`, more: `ca = "${join(folder, 'asterisk.crt')}"` });

  before(async () => {
    port = await freePort('tcp');
    const names = file('asterisk.cnf', '[req]\ndistinguished_name = name\nx509_extensions = more\nprompt = no\n[name]\nCN = 127.0.0.1\n[more]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n');
    const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-config', names, '-keyout', join(folder, 'asterisk.key'), '-out', join(folder, 'asterisk.crt')]);
    assert.equal(made.status, 0, made.stderr);
    const { status, stdout, stderr } = await moqrelay('init-asterisk', '--config', file('secure.toml', configuration(wanted())), '--asterisk', '22.10');
    assert.equal(status, 0, stderr);
    const [, http] = /===== http-moqrelay\.conf =====\n([^]*?)(?=; =====|$)/.exec(stdout);
    assert.match(http, new RegExp(`^tlsbindaddr = 127.0.0.1:${port}$`, 'm'));
    for (const name of ['asterisk.crt', 'asterisk.key']) {
      const place = join(asterisk.state, 'keys', name);
      writeFileSync(place, readFileSync(join(folder, name)));
      chmodSync(place, 0o644);
    }
    // The plain port stays: the other tests use it.
    const text = http.replaceAll('/etc/asterisk/keys/', '/asterisk-state/keys/').replace(/^bindport = .*$/m, `bindport = ${ports.ari}`);
    writeFileSync(join(asterisk.state, 'etc/http-moqrelay.conf'), text);
    await asterisk.cli('module reload http');
    await until(async () => (await asterisk.cli('http show status')).includes(`${port}`), { what: 'Asterisk to serve TLS' });
  });

  test('the doctor finds nothing', async () => {
    const { status, stdout } = await doctor(configuration(wanted()));

    assert.equal(status, 0, stdout);
    assert.match(stdout, /^All is well/m);
  });

  test('the doctor finds a certificate that nobody trusts', async () => {
    const { status, stdout } = await doctor(configuration({ url: wanted().url }));

    assert.equal(status, 1, stdout);
    assert.match(stdout, /ARI: 127\.0\.0\.1:\d+ does not show a certificate that we trust/);
  });

  test('calls are steered, and their sound goes by wss', async () => {
    const { url, more } = wanted();
    const daemon = await startDaemon({ ports, toml: roads({ url, more: `${more}\nroad = "websocket"` }) });
    const alice = await startPhone({ asterisk, name: 'alice', hz: 700 });
    try {
      await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
      await asterisk.cli('dialplan add extension 7997,1,Goto(moqrelay-ring,milliwatt,1) into internal');
      await alice.dial('7997');
      await alice.established();
      await new Promise((resolve) => setTimeout(resolve, TONE_MS));
      await alice.hangUp();

      const { hz, level } = peak(alice.heard);
      assert.ok(Math.abs(hz - TONE_HZ) <= 5 && level > 1000, `the telephone heard ${hz} Hz at level ${level}`);
    } finally {
      await alice.stop();
      await daemon.stop();
    }
  });
});

describe('doctor finds nothing', () => {
  test('when all is well', async (context) => {
    const { status, stdout } = await doctor(good);

    assert.equal(status, 0, stdout);
    assert.match(stdout, /^All is well/m);
    const [, ms] = /sound goes to Asterisk and back in ([\d.]+) ms/.exec(stdout);
    context.diagnostic(`AudioSocket and Echo(), there and back: ${ms} ms`);
  });

  test('beside a daemon that runs', async () => {
    const daemon = await startDaemon({ ports, toml: roads({}) });
    try {
      await until(async () => /moqrelay/.test(await asterisk.cli('ari show apps')), { what: 'the daemon to connect to ARI', ms: 20_000 });
      const { status, stdout } = await doctor(good);

      assert.equal(status, 0, stdout);
      assert.match(stdout, /in use by the running daemon/);
      assert.match(stdout, /connected as moqrelay/);
    } finally {
      await daemon.stop();
    }
  });

  test('and says so as JSON', async () => {
    const { status, stdout } = await doctor(good, '--json');

    assert.equal(status, 0, stdout);
    const { well, findings } = JSON.parse(stdout);
    assert.equal(well, true);
    assert.ok(findings.length >= 10 && findings.every(({ verdict }) => verdict !== 'bad'));
  });
});

/** Each plants one mistake; returns what to run the doctor with, and how to take it back. */
const MISTAKES = {
  'a port that another program has': {
    plant: async () => {
      const server = createServer();
      await new Promise((resolve) => server.listen(ports.http, '127.0.0.1', resolve));
      return { undo: () => new Promise((resolve) => server.close(resolve)) };
    },
    says: /http\.listen: TCP 127\.0\.0\.1:\d+ is taken by another program/,
    change: /end that program/,
  },
  'a certificate that has expired': {
    plant: async () => ({ toml: await certified({ name: 'relay.example.com', expired: true }) }),
    says: /tls\.certificate: .* has expired/,
    change: /renew it/,
  },
  'a certificate for another name': {
    plant: async () => ({ toml: await certified({ name: 'other.example.com' }) }),
    says: /certificate's names: relay\.example\.com \(moq\.url\) is not among them/,
    change: /get a certificate for relay\.example\.com/,
  },
  'a key of another certificate': {
    plant: async () => ({ toml: await certified({ name: 'relay.example.com', otherKey: true }) }),
    says: /tls\.certificate: certificate and key do not serve/,
    change: /its private key in tls\.key/,
  },
  'a wrong password of ARI': {
    plant: async () => ({ toml: configuration({ password: 'not-this' }) }),
    says: /ARI: .* refuses the user or the password/,
    change: /asterisk\.ari\.password/,
  },
  'an ARI that is not there': {
    plant: async () => ({ toml: configuration({ ari: await freePort('tcp') }) }),
    says: /ARI: nobody listens on 127\.0\.0\.1:\d+/,
    change: /start Asterisk/,
  },
  'an ARI user who may only read': {
    plant: async () => {
      const path = join(asterisk.state, 'etc/ari-moqrelay.conf');
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replace('read_only = no', 'read_only = yes'));
      await asterisk.cli('module reload res_ari.so');
      return {
        undo: async () => {
          writeFileSync(path, text);
          await asterisk.cli('module reload res_ari.so');
        },
      };
    },
    says: /AudioSocket: the ARI user may only read/,
    change: /read_only = no/,
  },
  'a module that is not loaded': {
    plant: async () => {
      await asterisk.cli('module unload chan_audiosocket.so');
      return { undo: () => asterisk.cli('module load chan_audiosocket.so') };
    },
    says: /modules: chan_audiosocket\.so is not loaded/,
    change: /load = chan_audiosocket\.so/,
  },
  'a dialplan that is not included': {
    plant: async () => {
      await asterisk.cli('dialplan remove context moqrelay-doctor');
      return { undo: () => asterisk.cli('dialplan reload') };
    },
    says: /dialplan: there is no context moqrelay-doctor/,
    change: /include extensions-moqrelay\.conf/,
  },
  'UDP buffers that are too small': {
    plant: async () => ({ args: ['--udp-buffer-min', `${1 << 30}`] }),
    says: /UDP receive buffer: the system gives \d+ bytes of the 1073741824/,
    change: /sysctl -w net\.core\.rmem_max=1073741824/,
  },
  'a clock that differs': {
    plant: async () => {
      const proxy = await shiftedClock(-90_000);
      return { toml: configuration({ ari: proxy.port }), undo: proxy.close };
    },
    says: /clock: Asterisk's is \d\d s behind ours/,
    change: /time server/,
  },
  'an AudioSocket that Asterisk cannot reach': {
    plant: async () => ({ toml: configuration({ told: `127.0.0.1:${await freePort('tcp')}` }) }),
    says: /AudioSocket: Asterisk cannot connect to 127\.0\.0\.1:\d+/,
    change: /asterisk\.ari\.audiosocket/,
  },
};

describe('doctor finds', () => {
  for (const [mistake, { plant, says, change }] of Object.entries(MISTAKES)) {
    test(mistake, async () => {
      const { toml = good, args = [], undo } = await plant();
      try {
        const { status, stdout, stderr } = await doctor(toml, ...args);

        assert.equal(status, 1, stdout + stderr);
        const bad = stdout.split('\n').flatMap((line, at, lines) => (line.startsWith('BAD') ? [`${line} ${lines[at + 1]}`] : []));
        assert.ok(bad.some((line) => says.test(line) && change.test(line)), stdout);
        assert.ok(bad.every((line) => says.test(line) || /UDP send buffer/.test(line)), `more than the mistake:\n${stdout}`);
      } finally {
        await undo?.();
      }
    });
  }
});

test('a configuration that cannot be used has a status of its own', async () => {
  const { status, stderr } = await doctor('[moq]\nsessions_max = 0\n');

  assert.equal(status, 2);
  assert.match(stderr, /moq\.sessions_max is 0/);
});

function configuration(change) {
  return `
[moq]
listen = "127.0.0.1:${ports.moq}"

[http]
listen = "127.0.0.1:${ports.http}"

[metrics]
listen = "127.0.0.1:${ports.metrics}"

[asterisk]
audiosocket = "127.0.0.1:${ports.audiosocket}"
secret = "a-secret-of-tests"
${roads(change)}
`;
}

function roads({ ari = ports.ari, url = `http://127.0.0.1:${ari}/ari`, password = 'a-password-of-tests', told, more = '' }) {
  return `
[asterisk.ari]
url = "${url}"
user = "moqrelay"
password = "${password}"
dial = "Local/{number}@internal/n"
${told === undefined ? '' : `audiosocket = "${told}"`}
${more}
`;
}

async function certified({ name, expired = false, otherKey = false }) {
  const [certificate, key, other] = ['cert.pem', 'key.pem', 'other.pem'].map((each) => join(folder, each));
  const openssl = (...args) => run('openssl', args);
  await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key);
  await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', other);
  const names = file('names.cnf', `subjectAltName = DNS:${name}\nbasicConstraints = CA:FALSE\n`);
  const wish = join(folder, 'wish.csr');
  await openssl('req', '-new', '-key', key, '-subj', `/CN=${name}`, '-out', wish);
  // A lifetime of less than nothing is what openssl has for one that is over.
  const made = await openssl('x509', '-req', '-in', wish, '-signkey', key, '-extfile', names, '-days', expired ? '-1' : '90', '-out', certificate);
  assert.equal(made.status, 0, made.stderr);
  const moq = `url = "https://relay.example.com/moq"\n`;
  return `${configuration({}).replace('[moq]\n', `[moq]\n${moq}`)}
[tls]
certificate = "${certificate}"
key = "${otherKey ? other : key}"
`;
}

/** Passes HTTP and WebSockets on to ARI, with another time in the answers. */
async function shiftedClock(ms) {
  const ahead = (incoming) => ({ port: ports.ari, host: '127.0.0.1', method: incoming.method, path: incoming.url, headers: incoming.headers });
  const server = createHttpServer((incoming, outgoing) => {
    const onward = request(ahead(incoming), (answer) => {
      const date = new Date(Date.parse(answer.headers.date) + ms).toUTCString();
      outgoing.writeHead(answer.statusCode, { ...answer.headers, date });
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  server.on('upgrade', (incoming, socket, head) => {
    const onward = request(ahead(incoming)).end();
    onward.on('upgrade', (answer, far) => {
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
      far.write(head);
      far.pipe(socket).pipe(far);
      for (const end of [far, socket]) end.on('error', () => {});
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function doctor(toml, ...args) {
  return moqrelay('doctor', '--config', file('relay.toml', toml), ...args);
}

function moqrelay(...args) {
  return run(BINARY, args);
}

function run(program, args) {
  return new Promise((resolve) => {
    execFile(program, args, (error, stdout, stderr) => resolve({ status: error === null ? 0 : (error.code ?? error.signal), stdout, stderr }));
  });
}

function file(name, text) {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
