// What measurements with a real Asterisk have in common.
import { existsSync } from 'node:fs';

/** Making the tree takes minutes and root: not in a measurement. */
export function requireTree() {
  const cache = process.env.MOQRELAY_CACHE ?? (process.getuid?.() === 0 ? '/var/cache/moqrelay' : `${process.env.HOME}/.cache/moqrelay`);
  if (!existsSync(`${cache}/asterisk22/.asterisk-rootfs`)) throw new Error(`no Asterisk tree in ${cache}: make it by deploy/asterisk/rootfs`);
}

export function withAri({ ari }) {
  return `
[asterisk.ari]
url = "${ari.url}"
user = "${ari.user}"
password = "${ari.password}"
dial = "Local/{number}@internal/n"
`;
}
