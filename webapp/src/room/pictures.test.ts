import { expect, it } from "vitest";
import { isSafePicture } from "./pictures.ts";

const bytes = (...parts: (string | number[])[]) => Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...part].map((char) => char.charCodeAt(0)) : part)));
const u32 = (value: number) => [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];

const png = (width: number, height: number) => bytes([0x89], "PNG\r\n\x1a\n", u32(13), "IHDR", u32(width), u32(height));
const gif = (width: number, height: number) => bytes("GIF89a", [width & 255, width >> 8, height & 255, height >> 8]);
const jpeg = (width: number, height: number) =>
	bytes([0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc4, 0, 3, 9, 0xff, 0xc2, 0, 11, 8, height >> 8, height & 255, width >> 8, width & 255]);
const webp = (kind: string, rest: number[]) => bytes("RIFF", u32(0), "WEBP", kind, u32(0), rest);

it("pictures of a size that can be decoded are", () => {
	const pictures = [
		png(4000, 3000),
		gif(640, 480),
		jpeg(4000, 3000),
		webp("VP8X", [0, 0, 0, 0, 0x9f, 0x0f, 0, 0xb7, 0x0b, 0]),
		webp("VP8 ", [0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]),
		webp("VP8L", [0x2f, 0x7f, 0xc2, 0x77, 0x00]),
	];

	expect(pictures.map(isSafePicture)).toEqual(pictures.map(() => true));
});

it("pictures that ask for too much, or say nothing of their size, are not", () => {
	const bombs = [
		png(60_000, 60_000),
		png(0, 10),
		gif(65_535, 65_535),
		jpeg(65_500, 65_500),
		webp("VP8X", [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
		webp("ALPH", [0, 0, 0, 0, 0, 0]),
		bytes([0xff, 0xd8, 0xff, 0xda, 0, 2, 1]),
		bytes([0xff, 0xd8], Array(900).fill(0xff) as number[]),
		bytes("<svg>"),
		bytes(),
	];

	expect(bombs.map(isSafePicture)).toEqual(bombs.map(() => false));
	const whole = [png(4, 4), gif(4, 4), jpeg(4, 4)];
	for (const picture of whole) {
		for (let length = 0; length < picture.length - 8; length += 1) expect(isSafePicture(picture.slice(0, length))).toBe(false);
	}
});
