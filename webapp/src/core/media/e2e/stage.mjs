/** What the media engine's browser tests stand on: the built page, a server for it, Chromium, a microphone. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build } from "vite";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const here = fileURLToPath(new URL(".", import.meta.url));

/** Builds the page of a folder into a temporary one and serves it on http://127.0.0.1; returns { url, close }. */
export async function servePage(root = here) {
	const folder = await mkdtemp(join(tmpdir(), "moqrelay-media-"));
	await build({
		configFile: false,
		root,
		base: "./",
		logLevel: "warn",
		build: { outDir: folder, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0 },
		worker: { format: "es" },
	});
	const server = createServer(async ({ url }, response) => {
		const path = normalize(new URL(url, "http://page").pathname);
		try {
			const body = await readFile(join(folder, path === "/" ? "index.html" : path));
			response.writeHead(200, { "content-type": TYPES[extname(path === "/" ? ".html" : path)] ?? "text/html" });
			response.end(body);
		} catch {
			response.writeHead(404).end();
		}
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		folder,
		url: `http://127.0.0.1:${server.address().port}/`,
		async close() {
			server.closeAllConnections();
			server.close();
			await rm(folder, { recursive: true });
		},
	};
}

/** Chromium whose microphone plays `wav`; returns Playwright's browser. */
export function launch(wav, args = []) {
	return chromium.launch({
		executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
		args: [
			...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
			"--use-fake-ui-for-media-stream",
			"--use-fake-device-for-media-stream",
			`--use-file-for-fake-audio-capture=${wav}`,
			"--autoplay-policy=no-user-gesture-required",
			...args,
		],
	});
}

/** Writes a second of `hz`, the first `loudMs` of it loud, as a WAV that is played over and over. */
export async function writeBursts(path, hz = 440, loudMs = 300) {
	const rate = 48_000;
	const pcm = Buffer.alloc(rate * 2);
	for (let i = 0; i < (rate * loudMs) / 1000; i++) {
		pcm.writeInt16LE(Math.round(0.4 * 32_767 * Math.sin((2 * Math.PI * hz * i) / rate)), i * 2);
	}
	const head = Buffer.alloc(44);
	head.write("RIFF", 0);
	head.writeUInt32LE(36 + pcm.length, 4);
	head.write("WAVEfmt ", 8);
	head.writeUInt32LE(16, 16);
	head.writeUInt16LE(1, 20);
	head.writeUInt16LE(1, 22);
	head.writeUInt32LE(rate, 24);
	head.writeUInt32LE(rate * 2, 28);
	head.writeUInt16LE(2, 32);
	head.writeUInt16LE(16, 34);
	head.write("data", 36);
	head.writeUInt32LE(pcm.length, 40);
	await writeFile(path, Buffer.concat([head, pcm]));
	return path;
}

/** From each burst's beginning in the microphone to its beginning in the loudspeaker, ms, ascending. */
export function delays({ captured, played }) {
	return played
		.map((frame) => (frame - captured.findLast((begin) => begin < frame)) / 48)
		.filter((ms) => ms < 500)
		.sort((a, b) => a - b);
}

export const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
