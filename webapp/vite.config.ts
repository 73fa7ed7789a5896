import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** The daemon's web port: page, API and signaling. */
const DAEMON = "127.0.0.1:8080";

/** Vitest's reporter groups failures by Node 22's Map.groupBy; on Node 20 a failed test would show nothing. */
const maps = Map as unknown as { groupBy?: (items: Iterable<unknown>, keyOf: (item: unknown) => unknown) => Map<unknown, unknown[]> };
maps.groupBy ??= (items, keyOf) => {
	const groups = new Map<unknown, unknown[]>();
	for (const item of items) {
		const key = keyOf(item);
		groups.set(key, [...(groups.get(key) ?? []), item]);
	}
	return groups;
};

/** Below this a packet is a packet. */
const COMPRESS_BYTES_MIN = 1024;

/** Puts `.br` and `.gz` beside each file, for the daemon to send as they are. */
function precompress(): Plugin {
	let folder = "";
	return {
		name: "precompress",
		apply: "build",
		configResolved: ({ build }) => {
			folder = build.outDir;
		},
		closeBundle: async () => {
			const names = await readdir(folder, { recursive: true });
			const texts = names.filter((name) => /\.(js|css|html|svg|wasm|webmanifest)$/.test(name));
			await Promise.all(texts.map((name) => compress(join(folder, name))));
		},
	};
}

async function compress(path: string): Promise<void> {
	const content = await readFile(path);
	if (content.length < COMPRESS_BYTES_MIN) return;
	const [br, gz] = await Promise.all([promisify(brotliCompress)(content), promisify(gzip)(content, { level: 9 })]);
	await Promise.all([writeFile(`${path}.br`, br), writeFile(`${path}.gz`, gz)]);
}

export default defineConfig({
	plugins: [precompress()],
	server: {
		port: 5173,
		proxy: {
			"/api": { target: `http://${DAEMON}`, ws: true },
		},
	},
	build: {
		target: "es2022",
		// The daemon embeds the folder; small files stay files, so that the CSP needs no `data:`.
		assetsInlineLimit: 0,
		reportCompressedSize: true,
	},
	worker: { format: "es" },
	test: {
		include: ["src/**/*.test.{ts,tsx}"],
	},
});
