// A device of a user without a page: signaling alone. Its calls have a room and nobody sends into it.
import WebSocket from 'ws';

const SUBPROTOCOL = 'moqrelay.v1';
const ANSWER_MS = 15_000;

/**
 * Registers a device and returns { number, request(type, fields), on(listener), live, endings, close() }.
 * `live` are the ids of the calls it was told of and that have not ended; `endings` has for each call every `ended`
 * that came. `request` resolves with `ok`, or throws an Error with the `code` of the refusal.
 */
export async function startDevice({ daemon, id, number }) {
  const socket = new WebSocket(`${daemon.url.replace('http', 'ws')}api/v1/signal`, SUBPROTOCOL);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const answers = new Map();
  const listeners = new Set();
  const live = new Set();
  const endings = new Map();
  let requests = 0;
  const send = (message) => socket.send(JSON.stringify(message));

  socket.on('message', (text) => {
    const message = JSON.parse(text);
    if (message.type === 'ping') return send({ type: 'pong' });
    if (message.type === 'ok' || message.type === 'refused') {
      answers.get(message.id)?.(message);
      return undefined;
    }
    if (message.type === 'incoming') live.add(message.call);
    if (message.type === 'ended') {
      live.delete(message.call);
      endings.set(message.call, [...(endings.get(message.call) ?? []), message]);
    }
    for (const listener of listeners) listener(message);
    return undefined;
  });
  socket.on('error', () => {});

  const request = (type, fields = {}) =>
    new Promise((resolve, reject) => {
      const seq = ++requests;
      const timer = setTimeout(() => finish(new Error(`${id}: no answer to ${type} in ${ANSWER_MS} ms`)), ANSWER_MS);
      const finish = (error, answer) => {
        clearTimeout(timer);
        answers.delete(seq);
        if (error) reject(error);
        else resolve(answer);
      };
      answers.set(seq, (answer) => {
        if (answer.type === 'ok') {
          if (type === 'call') live.add(answer.call);
          return finish(undefined, answer);
        }
        return finish(Object.assign(new Error(`${id}: ${type} was refused: ${answer.reason}`), { code: answer.code }));
      });
      send({ type, id: seq, ...fields });
    });

  await request('register', { token: daemon.token({ id, number }) });
  return {
    id,
    number,
    live,
    endings,
    request,
    /** Calls `listener` with each event from now on; returns what ends that. */
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => socket.close(),
  };
}

/** Waits for the next event of a device that fits; to be called before what causes it. */
export function next(device, fits, { what, ms = 20_000 }) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      off();
      reject(new Error(`${device.id}: waited ${ms} ms in vain for ${what}`));
    }, ms);
    const off = device.on((event) => {
      if (!fits(event)) return;
      clearTimeout(timer);
      off();
      resolve(event);
    });
  });
}
