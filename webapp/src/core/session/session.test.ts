import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryBox } from "../testing.ts";
import { ApiError, type Guest } from "./api.ts";
import { Session } from "./session.ts";

const NOW = 1_800_000_000_000;

beforeEach(() => vi.useFakeTimers({ now: NOW }));
afterEach(() => vi.useRealTimers());

describe("signing in as a guest", () => {
	it("keeps token and name", async () => {
		const box = new MemoryBox();
		const session = new Session({ box, guest: async (name) => guest(name) });

		await session.signIn("Anna");

		expect(session.state.value).toMatchObject({ name: "in", identity: { token: "token-1", guest: true, expiresAt: NOW + 3_600_000 } });
		const again = new Session({ box, guest: () => Promise.reject(new Error("not asked")) });
		await again.restore();
		expect(again.state.value).toMatchObject({ name: "in", identity: { user: { name: "Anna" } } });
	});

	it("under a taken name says so and keeps what was typed", async () => {
		const session = new Session({ box: null, guest: () => Promise.reject(new ApiError("name_taken")) });

		await session.signIn("Anna");

		expect(session.state.value).toEqual({ name: "out", reason: "name_taken", lastName: "Anna" });
	});

	it("works where storage is forbidden", async () => {
		const broken = {
			getItem: () => {
				throw new Error("forbidden");
			},
			setItem: () => {
				throw new Error("forbidden");
			},
			removeItem: () => {
				throw new Error("forbidden");
			},
		};
		const session = new Session({ box: broken, guest: async (name) => guest(name) });

		await session.signIn("Anna");

		expect(session.state.value.name).toBe("in");
	});
});

describe("a token", () => {
	it("that ended while the page was closed is replaced under the same name", async () => {
		const box = new MemoryBox();
		await new Session({ box, guest: async (name) => guest(name) }).signIn("Anna");
		vi.setSystemTime(NOW + 4_000_000);
		const asked: string[] = [];
		const session = new Session({
			box,
			guest: async (name) => {
				asked.push(name);
				return guest(name, "token-2");
			},
		});

		await session.restore();

		expect(asked).toEqual(["Anna"]);
		expect(session.state.value).toMatchObject({ identity: { token: "token-2" } });
	});

	it("is renewed ten minutes before its end, by the old one", async () => {
		const previous: (string | null)[] = [];
		const session = new Session({
			box: null,
			guest: async (name, old) => {
				previous.push(old);
				return guest(name, `token-${previous.length}`);
			},
		});
		await session.signIn("Anna");

		await vi.advanceTimersByTimeAsync(49 * 60_000);
		expect(previous).toEqual([null]);
		await vi.advanceTimersByTimeAsync(2 * 60_000);

		expect(previous).toEqual([null, "token-1"]);
		expect(session.state.value).toMatchObject({ name: "in", identity: { token: "token-2" } });
	});

	it("stays as long as the server cannot be asked, and is asked for again", async () => {
		let there = true;
		const session = new Session({
			box: null,
			guest: (name) => (there ? Promise.resolve(guest(name, "token-1", 3600)) : Promise.reject(new ApiError("unreachable"))),
		});
		await session.signIn("Anna");
		there = false;

		expect(await session.renew()).toBe(false);
		expect(session.state.value.name).toBe("in");
		there = true;
		await vi.advanceTimersByTimeAsync(51 * 60_000);

		expect(session.state.value.name).toBe("in");
	});

	it("is kept when the name seems taken, since it is one's own", async () => {
		let taken = false;
		const session = new Session({
			box: null,
			guest: (name) => (taken ? Promise.reject(new ApiError("name_taken")) : Promise.resolve(guest(name, "token-2"))),
		});
		await session.signIn("Anna");
		taken = true;

		expect(await session.renew()).toBe(false);
		expect(session.state.value.name).toBe("in");
		taken = false;
		await vi.advanceTimersByTimeAsync(51 * 60_000);

		expect(session.state.value.name).toBe("in");
	});

	it("whose name somebody else has now leads back to the door", async () => {
		let taken = false;
		const session = new Session({
			box: new MemoryBox(),
			guest: (name) => (taken ? Promise.reject(new ApiError("name_taken")) : Promise.resolve(guest(name))),
		});
		await session.signIn("Anna");
		taken = true;

		await vi.advanceTimersByTimeAsync(3_600_000 + 180_000);

		expect(session.state.value).toEqual({ name: "out", reason: "name_taken", lastName: "Anna" });
	});

	it("from elsewhere tells who one is", () => {
		const session = new Session({ box: null });

		session.signInWithToken(` ${jwt({ sub: "jörg", name: "Jörg Ä", number: "7100", exp: NOW / 1000 + 60 })}\n`);

		expect(session.state.value).toMatchObject({
			name: "in",
			identity: { user: { id: "jörg", name: "Jörg Ä", number: "7100" }, guest: false, expiresAt: NOW + 60_000 },
		});
	});

	it("from elsewhere that is none, or over, is turned away", () => {
		const session = new Session({ box: null });

		for (const text of ["", "abc", "a.b.c", "a.!!!.c", jwt({ name: "no sub", exp: NOW })]) {
			session.signInWithToken(text);
			expect(session.state.value).toMatchObject({ name: "out", reason: "bad_token" });
		}
		session.signInWithToken(jwt({ sub: "anna", exp: NOW / 1000 - 1 }));

		expect(session.state.value).toMatchObject({ reason: "expired" });
	});

	it("from elsewhere is not renewed", async () => {
		const session = new Session({ box: null, guest: async (name) => guest(name) });
		session.signInWithToken(jwt({ sub: "anna", exp: NOW / 1000 + 60 }));

		expect(await session.renew()).toBe(false);

		expect(session.state.value).toMatchObject({ name: "out", reason: "expired" });
	});
});

describe("several tabs", () => {
	it("sign out together and follow a renewal", async () => {
		const box = new MemoryBox();
		const [one, two] = [0, 1].map(() => new Session({ box, guest: async (name) => guest(name) })) as [Session, Session];
		await one.signIn("Anna");

		two.storageChanged("moqrelay.identity");
		expect(two.state.value.name).toBe("in");
		one.signOut();
		two.storageChanged("moqrelay.identity");

		expect(two.state.value.name).toBe("out");
	});

	it("ignore what is stored by others", async () => {
		const box = new MemoryBox();
		const session = new Session({ box, guest: async (name) => guest(name) });
		await session.signIn("Anna");
		box.removeItem("moqrelay.identity");

		session.storageChanged("something.else");

		expect(session.state.value.name).toBe("in");
	});
});

it("what is kept but broken counts as nothing", async () => {
	for (const text of ["{", "7", "null", '{"token":1}', '{"token":"t","expiresAt":9e15,"guest":true,"user":{}}']) {
		const box = new MemoryBox();
		box.setItem("moqrelay.identity", text);
		const session = new Session({ box, guest: () => Promise.reject(new Error("not asked")) });

		await session.restore();

		expect(session.state.value.name).toBe("out");
	}
});

function guest(name: string, token = "token-1", expires_in = 3600): Guest {
	return { token, user: { id: name.toLowerCase(), name, number: "7001" }, expires_in };
}

function jwt(claims: Record<string, unknown>): string {
	const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
	return `${encode({ alg: "HS256" })}.${encode(claims)}.signature`;
}
