import { expect, it } from "vitest";
import { Pace } from "./pace.ts";

it("a wide line has no rate, whatever goes out", () => {
	const line = new Line(50_000);

	line.run(20_000, 3_000);

	expect(line.pace.kbps).toBe(Number.POSITIVE_INFINITY);
	expect(line.gaveUp).toBe(0);
});

it("a line that narrows is noticed before a third of a second has passed, and what was sent is given up", () => {
	const line = new Line(50_000);
	line.run(3_000, 1_500);

	line.kbps = 500;
	line.run(330, 1_500);

	expect(line.gaveUp).toBe(1);
	expect(line.pace.room(line.now)).toBe(0);
	expect(line.pace.kbps).toBeLessThan(1_000);
});

it("from then on the line is used, and hardly anything is lost by it", () => {
	const line = new Line(50_000);
	line.run(3_000, 1_500);
	line.kbps = 500;
	line.run(3_000, 1_500);
	const before = { ...line };

	line.run(30_000, 1_500);

	const [sent, lost] = [line.sent - before.sent, line.lost - before.lost];
	expect(line.gaveUp).toBe(1);
	expect(lost / sent).toBeLessThan(0.02);
	expect((sent * 8) / 30_000).toBeGreaterThan(250);
});

it("a little that goes out by it does not make it think that much would", () => {
	const line = new Line(50_000);
	line.run(3_000, 1_500);
	line.kbps = 500;
	line.run(3_000, 1_500);

	line.run(60_000, 200);

	expect(line.pace.kbps).toBeLessThan(600);
});

it("a line that is wide again is found to be so", () => {
	const line = new Line(50_000);
	line.run(3_000, 1_500);
	line.kbps = 500;
	line.run(5_000, 1_500);

	line.kbps = 50_000;
	line.run(15_000, 1_500);

	expect(line.pace.kbps).toBe(Number.POSITIVE_INFINITY);
});

it("answers that are never even are no full line", () => {
	const line = new Line(50_000);
	line.uneven = true;

	line.run(60_000, 1_500);

	expect(line.pace.kbps).toBe(Number.POSITIVE_INFINITY);
});

it("what is late because we slept is not the line's fault", () => {
	const line = new Line(50_000);
	line.run(3_000, 1_500);

	line.sleep(800);
	line.run(3_000, 1_500);

	expect(line.pace.kbps).toBe(Number.POSITIVE_INFINITY);
});

it("little that goes out by a line that others fill waits, and goes on where it was", () => {
	const line = new Line(50_000);
	line.run(3_000, 60);

	line.delayMs = 200;
	line.run(300, 60);
	expect(line.pace.room(line.now)).toBe(0);
	line.delayMs = 0;
	line.run(1_000, 60);

	expect(line.gaveUp).toBe(0);
	expect(line.pace.room(line.now)).toBeGreaterThan(0);
});

/** A line that keeps 150 ms of what it cannot carry yet, and loses what is more. */
class Line {
	readonly pace = new Pace();
	kbps: number;
	now = 0;
	gaveUp = 0;
	sent = 0;
	lost = 0;
	/** Answers take up to 140 ms longer, now and then. */
	uneven = false;
	/** What others put into the queue. */
	delayMs = 0;
	#freeAt = 0;
	#answers: { at: number; askedAt: number }[] = [];
	#waiting = 0;
	#lookAt = 0;

	constructor(kbps: number) {
		this.kbps = kbps;
	}

	/** For so long pictures come at a rate of `kbps`. */
	run(ms: number, kbps: number): void {
		for (const until = this.now + ms; this.now < until; this.now += 10) {
			this.#step();
			this.#waiting = Math.min(20_000, this.#waiting + (kbps * 10) / 8);
			while (this.#waiting >= 1_200 && this.pace.room(this.now) >= 1_200) {
				this.#waiting -= 1_200;
				this.pace.sent(1_200, this.now);
				this.#carry(1_200);
			}
		}
	}

	/** Nothing is looked at, and answers wait. */
	sleep(ms: number): void {
		this.now += ms;
	}

	#step(): void {
		for (const answer of this.#answers.filter(({ at }) => at <= this.now)) {
			this.#answers.splice(this.#answers.indexOf(answer), 1);
			this.pace.answered(this.now - answer.askedAt, this.now);
		}
		if (this.now < this.#lookAt) return;
		this.#lookAt = this.now + 30;
		if (this.pace.look(this.now) === "give up") {
			this.gaveUp++;
			this.#waiting = 0;
		}
		if (!this.pace.wantsAnswer(this.now)) return;
		this.pace.asked(this.now);
		const uneven = this.uneven ? 70 + 70 * Math.sin(this.now / 500) : 0;
		const queue = Math.max(0, this.#freeAt - this.now);
		this.#answers.push({ at: this.now + 10 + queue + uneven + this.delayMs, askedAt: this.now });
	}

	#carry(bytes: number): void {
		const begin = Math.max(this.now, this.#freeAt);
		this.sent += bytes;
		if (begin - this.now > 150) this.lost += bytes;
		else this.#freeAt = begin + (bytes * 8) / this.kbps;
	}
}
