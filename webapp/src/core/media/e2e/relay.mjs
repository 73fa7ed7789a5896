/** Starts the open relay of `crates/relay/examples` for the tests. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../../..", import.meta.url));

/**
 * Returns { address, port, goAway, ended, stop }. `MOQRELAY_OPEN_RELAY` names the program; without it Cargo builds
 * and runs it. `port` 0: any.
 */
export async function startRelay(port = 0) {
	const program = process.env.MOQRELAY_OPEN_RELAY;
	const listen = `127.0.0.1:${port}`;
	const child = program
		? spawn(program, [listen], { stdio: ["pipe", "pipe", "inherit"] })
		: spawn("cargo", ["run", "--quiet", "-p", "moqrelay-relay", "--example", "open_relay", "--", listen], {
				cwd: root,
				stdio: ["pipe", "pipe", "inherit"],
			});
	const ended = new Promise((resolve) => child.once("exit", resolve));
	const line = await new Promise((resolve, reject) => {
		createInterface(child.stdout).once("line", resolve);
		child.once("error", reject);
		child.once("exit", (code) => reject(new Error(`the relay ended with ${code}`)));
	});
	const { port: bound, hash } = JSON.parse(line);
	return {
		port: bound,
		address: { url: `https://127.0.0.1:${bound}/moq`, hashes: [hash] },
		/** Asks everybody to go to another one; `ended` resolves when they have. */
		goAway: (uri) => child.stdin.write(`goaway ${uri}\n`),
		ended,
		/** Kills it as a crash would. */
		async stop() {
			child.kill("SIGKILL");
			await ended;
		},
	};
}
