// Waiting for something to be true, up to a deadline that only a fault reaches.

const POLL_MS = 40;

/** Returns the first truthy answer of `ask`. `what` completes "waited in vain for". */
export async function until(ask, { what, ms = 10_000, poll = POLL_MS }) {
  const deadline = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, poll));
  }
}
