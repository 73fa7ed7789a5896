import { describe, expect, it } from "vitest";
import { type CatalogTrack, entries, read } from "./catalog.ts";
import { allowed, choose } from "./codecs.ts";
import { fit } from "./layer.ts";
import { Rates } from "./rates.ts";
import { Timeline } from "./timeline.ts";
import { Uplink } from "./uplink.ts";

const bytes = (json: unknown) => new TextEncoder().encode(typeof json === "string" ? json : JSON.stringify(json));

describe("a catalog", () => {
	const tracks: CatalogTrack[] = [
		{ name: "camera-l", source: "camera", codec: "vp8", width: 320, height: 180, framerate: 15, bitrate: 95_000 },
		{ name: "screen", source: "screen", codec: "vp09.00.40.08", width: 1280, height: 800, framerate: 15, bitrate: 920_000 },
	];

	it("reads what it writes, the voice left out", () => {
		const voice = { name: "audio", packaging: "loc", role: "audio", codec: "opus" };

		const catalog = read(bytes({ version: "1", tracks: [voice, ...entries(tracks)], decodes: ["vp8"] }));

		expect(catalog).toEqual({ tracks, decodes: ["vp8"] });
		expect(entries(tracks)[0]).toMatchObject({ role: "video", altGroup: 1, renderGroup: 1, timescale: 48_000, isLive: true });
	});

	it("of somebody else's making counts as far as it makes sense", () => {
		const foreign = { name: "hd", packaging: "loc", role: "video", codec: "avc1.42E01F", width: "wide", bitrate: -3 };

		expect(read(bytes({ tracks: [foreign, 7, null, { name: "x" }, { ...foreign, packaging: "cmaf" }] }))?.tracks).toEqual([
			{ name: "hd", source: "camera", codec: "avc1.42E01F", width: 0, height: 0, framerate: 0, bitrate: 0 },
		]);
	});

	it("that is none is refused", () => {
		for (const broken of ["", "{", "[]", "null", '{"tracks":7}', "x".repeat(40_000)]) expect(read(bytes(broken))).toBeNull();
		expect(read(bytes({ tracks: Array(100).fill(entries(tracks)[0]) }))?.tracks.length).toBeLessThan(20);
	});
});

describe("the codec", () => {
	const size = { width: 1280, height: 720, framerate: 30, bitrate: 1e6 };

	it("is the first that works here, one made by a circuit before all", async () => {
		expect(await choose("camera", size, () => true, async ({ hardwareAcceleration }) => hardwareAcceleration === undefined)).toBe("vp8");
		expect(await choose("camera", size, () => true, async () => true)).toMatch(/^avc1/);
		expect(await choose("screen", size, () => true, async () => true)).toMatch(/^vp09/);
		expect(await choose("screen", size, () => true, async ({ codec }) => codec.startsWith("av01"))).toMatch(/^av01/);
		expect(await choose("camera", size, () => true, async () => false)).toBeNull();
	});

	it("is one that everybody can show", async () => {
		const allow = allowed([["vp8", "h264"], ["h264"]]);
		expect(await choose("screen", size, allow, async () => true)).toMatch(/^avc1/);
		// Who says nothing can show VP8.
		expect(allowed([[]])("vp9")).toBe(false);
		expect(allowed([[]])("vp8")).toBe(true);
	});
});

it("sizes keep the source's shape, even and not above the plan", () => {
	const plan = { width: 640, height: 360, scale: 0.5 };
	expect(fit(plan, { width: 1280, height: 720 })).toEqual({ width: 640, height: 360 });
	expect(fit(plan, { width: 640, height: 480 })).toEqual({ width: 320, height: 240 });
	expect(fit(plan, { width: 720, height: 1280 })).toEqual({ width: 202, height: 360 });
	expect(fit({ width: 1920, height: 1080, scale: 1 }, { width: 3840, height: 2160 })).toEqual({ width: 1920, height: 1080 });
});

describe("what goes out", () => {
	it("is all while the network keeps up", () => {
		const uplink = new Uplink();
		for (let now = 0; now < 10_000; now += 40) expect(uplink.look(20, now)).toBe("send");
		expect([uplink.share, uplink.sizes(3)]).toEqual([1, 3]);
	});

	it("falls when pictures wait, the large sizes last, and comes back", () => {
		const uplink = new Uplink();
		expect(uplink.look(200, 0)).toBe("skip");
		expect(uplink.look(1_200, 100)).toBe("give up");
		for (let now = 200; now < 10_000; now += 40) uplink.look(400, now);
		expect(uplink.sizes(3)).toBe(1);
		expect(uplink.share).toBeGreaterThan(0.3);

		for (let now = 10_000; now < 200_000; now += 40) uplink.look(0, now);
		expect([uplink.share, uplink.sizes(3)]).toEqual([1, 3]);
	});
});

describe("the time line of somebody", () => {
	it("tells how late a picture is, and when its voice comes", () => {
		const timeline = new Timeline();
		timeline.heard(48_000, 5_000);
		timeline.heard(48_960, 5_035);

		expect(timeline.seen(48_000, 5_010)).toBe(10);
		expect(timeline.seen(52_800, 5_400)).toBe(300);
		expect(timeline.voiceAt(52_800, 5_400)).toBe(5_100);
	});

	it("does without a voice, forgets old ones, and follows a clock that begins anew", () => {
		const timeline = new Timeline();
		expect(timeline.seen(480_000, 1_000)).toBe(0);
		expect(timeline.voiceAt(480_000, 1_000)).toBeNull();
		timeline.heard(480_000, 1_000);
		expect(timeline.voiceAt(960_000, 30_000)).toBeNull();
		expect(timeline.seen(0, 30_000)).toBe(0);
		// A minute of a clock that drifts by 1 ms a second is no lateness.
		let late = 0;
		for (let s = 0; s < 60; s++) late = timeline.seen(s * 48_000, 30_000 + s * 1_001);
		expect(late).toBeLessThan(25);
	});
});

it("rates are those of the last two seconds", () => {
	const rates = new Rates();
	for (let now = 0; now <= 4_000; now += 100) rates.count(1_000, now);
	expect(rates.rates(4_000).fps).toBeCloseTo(10, 0);
	expect(rates.rates(4_000).kbps).toBeCloseTo(80, -1);
	expect(rates.rates(7_000)).toEqual({ fps: 0, kbps: 0 });
});
