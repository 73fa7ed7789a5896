// A device on the signaling socket that is no page: for tests of what the daemon answers and tells.
import WebSocket from 'ws';
import { until } from './wait.mjs';

const ANSWER_MS = 10_000;

/**
 * Signs in; returns { ask(type, fields), events, next(type, fits, ms), close() }: `ask` gives the answer, `ok` or `refused`,
 * `next` waits for the first event of a type, of those that came since the last one of that type was taken.
 */
export async function startDevice({ url, token }) {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}api/v1/signal`, 'moqrelay.v1');
  const events = [];
  const answers = new Map();
  const taken = new Map();
  let ids = 0;
  socket.on('message', (text) => {
    const message = JSON.parse(text);
    if (message.type === 'ping') socket.send(JSON.stringify({ type: 'pong' }));
    else if (message.type === 'ok' || message.type === 'refused') answers.set(message.id, message);
    else events.push(message);
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  const ask = async (type, fields = {}) => {
    const id = (ids += 1);
    socket.send(JSON.stringify({ type, id, ...fields }));
    return until(async () => answers.get(id), { what: `the answer to ${type}`, ms: ANSWER_MS });
  };
  const registered = await ask('register', { token });
  if (registered.type !== 'ok') throw new Error(`not signed in: ${JSON.stringify(registered)}`);
  return {
    ask,
    events,
    async next(type, fits = () => true, ms = ANSWER_MS) {
      const find = () => events.findIndex((event, at) => at >= (taken.get(type) ?? 0) && event.type === type && fits(event));
      const at = await until(async () => find() + 1, { what: `${type} after ${JSON.stringify(events.slice(-4))}`, ms });
      taken.set(type, at);
      return events[at - 1];
    },
    close: () => socket.close(),
  };
}
