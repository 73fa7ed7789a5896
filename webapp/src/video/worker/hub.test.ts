import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { MoqSession } from "../../core/media/worker/moq-session.ts";
import { Kind, type Offer, type Record } from "../../core/media/wasm/session.ts";
import type { VideoOrder, VideoReport } from "../messages.ts";
import { entries } from "./catalog.ts";
import { FIRST_KEY, VideoHub } from "./hub.ts";

const MEDIA = { room: "r", participant: "p1", namespace: ["room", "r", "p1"], token: "t" };
const CAMERA = (["camera-l", "camera-m", "camera-h"] as const).map((name, i) => ({
	name,
	source: "camera" as const,
	codec: "vp8",
	width: 320 * 2 ** i,
	height: 180 * 2 ** i,
	framerate: 30,
	bitrate: 100_000 * 4 ** i,
}));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("a tile leads to the catalog, then to the size that fits, and to nothing once it is gone", () => {
	const { hub, log, tell, key } = make();
	tell({ type: "place", media: MEDIA });
	tell({ type: "watch", id: 1, participant: "p2", source: "camera", size: { w: 500, h: 280 } });
	expect(log).toEqual(["follow room/r/p2 catalog t"]);

	hub.record(object(key("catalog")));
	expect(log.splice(0)).toEqual(["follow room/r/p2 catalog t", "watch room/r/p2 camera-m t"]);

	// Another size is asked for beside the first one, which stays until pictures of the other come.
	tell({ type: "resize", id: 1, size: { w: 100, h: 56 } });
	expect(log.splice(0)).toEqual(["watch room/r/p2 camera-l t"]);

	tell({ type: "unwatch", id: 1 });
	expect(log.sort()).toEqual(["end camera-l", "end camera-m", "end catalog"]);
});

it("a new token asks for everything anew", () => {
	const { hub, log, tell, key } = make();
	tell({ type: "place", media: MEDIA });
	tell({ type: "watch", id: 1, participant: "p2", source: "camera", size: { w: 500, h: 280 } });
	hub.record(object(key("catalog")));
	log.length = 0;

	tell({ type: "place", media: { ...MEDIA, token: "new" } });

	expect(log).toContain("end catalog");
	expect(log).toContain("follow room/r/p2 catalog new");
	expect(log).toContain("watch room/r/p2 camera-m new");
});

it("what is out of sight is not taken", () => {
	const { hub, log, tell, key } = make();
	tell({ type: "place", media: MEDIA });
	tell({ type: "watch", id: 1, participant: "p2", source: "camera", size: { w: 0, h: 0 } });
	hub.record(object(key("catalog")));

	expect(log).toEqual(["follow room/r/p2 catalog t"]);
	tell({ type: "resize", id: 1, size: { w: 500, h: 280 } });
	expect(log.at(-1)).toBe("watch room/r/p2 camera-m t");
});

it("a closed place leaves nothing behind", () => {
	const { hub, log, tell, catalogs, key } = make();
	tell({ type: "place", media: MEDIA });
	tell({ type: "watch", id: 1, participant: "p2", source: "camera", size: { w: 500, h: 280 } });
	hub.record(object(key("catalog")));
	log.length = 0;

	tell({ type: "close" });
	vi.advanceTimersByTime(60_000);

	expect(log.sort()).toEqual(["end camera-m", "end catalog"]);
	expect(catalogs.at(-1)).toBeNull();
});

function make() {
	const log: string[] = [];
	const names = new Map<number, string>();
	const catalogs: (object | null)[] = [];
	const ask = (how: string) => (key: number, { namespace, name, token }: Offer) => {
		names.set(key, name);
		return log.push(`${how} ${namespace.join("/")} ${name} ${token}`) > 0;
	};
	const session = { follow: ask("follow"), watch: ask("watch"), endTrack: (key: number) => log.push(`end ${names.get(key)}`) };
	const hub = new VideoHub({ extendCatalog: (_, more) => catalogs.push(more) });
	const port = { onmessage: (_: { data: VideoOrder }) => {}, postMessage: (_: VideoReport) => {}, close: () => {} };
	hub.attach(port as unknown as MessagePort);
	hub.use(session as unknown as MoqSession);
	const key = (name: string) => [...names].findLast(([, other]) => other === name)?.[0] ?? FIRST_KEY;
	return { hub, log, catalogs, key, tell: (order: VideoOrder) => port.onmessage({ data: order }) };
}

function object(id: number): Record {
	const bytes = new TextEncoder().encode(JSON.stringify({ version: "1", tracks: entries(CAMERA), decodes: ["vp8"] }));
	return { kind: Kind.Object, id, code: 0, at: -1, group: 1n, object: 0n, ticks: 0, participant: 0, bytes };
}
