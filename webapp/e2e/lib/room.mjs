// A web phone in a room as a test sees it. Names in quotes are data-testid (../../src/room/room.tsx).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { until } from './wait.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** A request, its event, and a slow machine. */
const SEEN_MS = 10_000;
/** Joining: the session with the relay, and the first voice. */
const INSIDE_MS = 20_000;

export class WebRoom {
  constructor(phone) {
    this.phone = phone;
  }

  /** Goes to the door by the link. */
  async door(room) {
    await this.phone.driver.evaluate((name) => void (location.hash = `#/room/${encodeURIComponent(name)}`), room);
    await this.phone.see('door');
  }

  /** Goes in; `expect` is where it leads: `room`, `room-waiting` or `door-failure`. */
  async enter(room, { name, pin, muted = false, listen = false, expect = 'room' } = {}) {
    await this.door(room);
    if (name !== undefined) await this.phone.driver.fill(id('door-name'), name);
    if (pin !== undefined) await this.phone.driver.fill(id('door-pin'), pin);
    if (muted) await this.phone.click('door-muted');
    if (listen) await this.phone.click('door-listen');
    await this.phone.click('door-join');
    await this.phone.see(expect, INSIDE_MS);
    return this.self();
  }

  /** Our own participant: `p2`. */
  self() {
    return this.phone.attribute('room', 'data-self');
  }

  /** The open room's id. */
  id() {
    return this.phone.attribute('room', 'data-room');
  }

  async leave() {
    await this.phone.driver.evaluate(() => {
      const button = document.querySelector('[data-testid="room-leave"], [data-testid="waiting-leave"], [data-testid="left-back"]');
      if (button !== null) button.click();
      else location.hash = '';
    });
    await this.phone.see('shell');
  }

  /** Waits for somebody's tile with these attributes: `{ muted: true }`. */
  tile(participant, marks = {}, ms = SEEN_MS) {
    const wanted = Object.entries(marks).map(([name, value]) => `[data-${name}="${value}"]`);
    return this.phone.see(`tile[data-participant="${participant}"]${wanted.join('')}`, ms);
  }

  noTile(participant, ms = SEEN_MS) {
    return this.phone.seeNo(`tile[data-participant="${participant}"]`, ms);
  }

  /** Opens a panel: `people` or `chat`. */
  async open(panel) {
    if (!(await this.phone.has(`panel-${panel}`))) await this.phone.click(`room-${panel}`);
    await this.phone.see(`panel-${panel}`);
  }

  async say(text, to) {
    await this.open('chat');
    await this.phone.driver.evaluate(
      ([selector, value]) => {
        const select = document.querySelector(selector);
        select.value = value;
        select.dispatchEvent(new Event('change', { bubbles: true }));
      },
      [id('chat-to'), to ?? ''],
    );
    await this.phone.driver.fill(id('chat-input'), text);
    await this.phone.click('chat-send');
  }

  /** Drops files on the chat: { name, type, text }, or { name, picture }: a PNG of one colour. */
  drop(files) {
    return this.phone.driver.evaluate(
      async ([selector, given]) => {
        const carried = new DataTransfer();
        for (const { name, type, text, picture } of given) {
          let content = text;
          if (picture !== undefined) {
            const canvas = new OffscreenCanvas(64, 48);
            const context = canvas.getContext('2d');
            context.fillStyle = picture;
            context.fillRect(0, 0, 64, 48);
            content = await canvas.convertToBlob();
          }
          carried.items.add(new File([content], name, { type: type ?? 'image/png' }));
        }
        const drop = new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true });
        document.querySelector(selector).dispatchEvent(drop);
      },
      [id('chat-drop'), files],
    );
  }

  /** Waits for a message of this text; returns { from, to, name }. */
  message(text) {
    return until(
      () =>
        this.phone.driver.evaluate((wanted) => {
          for (const element of document.querySelectorAll('[data-testid="message"]')) {
            if (element.querySelector('[data-testid="message-text"]').textContent !== wanted) continue;
            return { ...element.dataset, name: element.querySelector('[data-testid="message-name"]').textContent };
          }
          return null;
        }, text),
      { what: `${this.phone.name} to read ${JSON.stringify(text)}`, ms: SEEN_MS },
    );
  }

  /** Presses something of somebody's in the list of people. */
  async person(participant, testid) {
    await this.open('people');
    const row = `roster-person[data-participant="${participant}"]`;
    await this.phone.see(row);
    if (!(await this.phone.has(`${row} [data-testid="person-details"]`))) await this.phone.click(`${row} [data-testid="person-more"]`);
    await this.phone.click(`${row} [data-testid="${testid}"]`);
  }

  /** Fails when axe finds anything in what is on the screen. */
  async accessible(what) {
    const { driver } = this.phone;
    if (!(await driver.evaluate(() => 'axe' in globalThis))) await driver.evaluate(readFileSync(AXE, 'utf8'));
    const found = await driver.evaluate(async () => {
      const { violations } = await axe.run(document, { resultTypes: ['violations'] });
      return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`).join(' | ')}`);
    });
    assert.deepEqual(found, [], `${what}: axe`);
  }
}

/** A selector; attributes and what is inside may follow the name. */
function id(testid) {
  return `[data-testid="${testid}"]`;
}
