// Programs that test a relay themselves and say so in TAP: each of their cases is a row.
import { run } from './program.mjs';

const RUN_MS = 180_000;

/** Runs a program; returns its cases as [{ what, failure }]. Fewer than `expected` is a failure, too. */
export async function cases(file, args, { expected, env }) {
  const program = run(file, args, { env });
  const timer = setTimeout(() => void program.stop(), RUN_MS);
  const status = await program.ended();
  clearTimeout(timer);
  const results = [];
  for (const line of program.output().toString().split('\n')) {
    const match = /^(not )?ok \d+ *-? *(.*)$/.exec(line);
    if (match !== null) {
      results.push({ what: match[2], failure: match[1] === undefined ? undefined : '' });
      continue;
    }
    const reason = /^ +(?:message|error): *(.*)$/.exec(line);
    const last = results.at(-1);
    if (reason !== null && last?.failure !== undefined) last.failure ||= reason[1];
  }
  if (results.length < expected) {
    const failure = `${results.length} of ${expected} cases ran, it ended with ${status}: ${program.errors().trim().slice(-300)}`;
    results.push({ what: 'all cases', failure });
  }
  return results;
}
