// A program of other makers, run for as long as it is needed.
import { spawn } from 'node:child_process';
import { until } from '../lib/wait.mjs';

const OUTPUT_BYTES_MAX = 16_000_000;
const STOP_MS = 3_000;

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Starts a program. Returns { stdin, output(), errors(), status(), until(predicate, what), ended(), stop() }; `output` is a
 * Buffer.
 */
export function run(file, args, { env = {}, cwd } = {}) {
  const child = spawn(file, args, { env: { ...process.env, ...env }, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  running.add(child);
  const output = [];
  let bytes = 0;
  let errors = '';
  let status;
  child.stdin.on('error', () => {}); // It may end before it has read all.
  child.stdout.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_BYTES_MAX) output.push(chunk);
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    errors = (errors + chunk).slice(-20_000);
  });
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('close', (code, signal) => resolve(code ?? signal));
  }).then((how) => {
    status = how;
    running.delete(child);
    return how;
  });
  const program = {
    stdin: child.stdin,
    output: () => Buffer.concat(output),
    errors: () => errors,
    status: () => status,
    ended: () => ended,
    async until(predicate, what, ms = 20_000) {
      try {
        await until(
          () => {
            if (predicate(program.output())) return true;
            if (status !== undefined) throw new Error(`it ended with ${status}`);
            return false;
          },
          { what, ms },
        );
      } catch (error) {
        throw new Error(`${error.message}: ${lastWords(errors)}`);
      }
    },
    async stop() {
      if (status !== undefined) return status;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      const how = await ended;
      clearTimeout(timer);
      return how;
    },
  };
  return program;
}

function lastWords(text) {
  const lines = text
    .replaceAll(/\u001b\[[0-9;]*m/g, '')
    .trim()
    .split('\n');
  return lines.slice(-2).join(' / ').slice(-300);
}
