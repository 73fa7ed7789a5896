/** How large a picture says it is, before a decoder is given it: a few bytes can ask for gigabytes of pixels. */

/** 40 megapixels: more than most cameras make. */
const PIXELS_MAX = 40_000_000;
/** A JPEG's size stands before its scan, behind what cameras write: within this. */
const SEGMENTS_MAX = 200;

/** Returns whether it says how large it is, and may be decoded. */
export function isSafePicture(bytes: Uint8Array): boolean {
	const size = sizeOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
	return size !== null && size.width > 0 && size.height > 0 && size.width * size.height <= PIXELS_MAX;
}

interface Size {
	readonly width: number;
	readonly height: number;
}

function sizeOf(view: DataView): Size | null {
	try {
		if (view.getUint32(0) === 0x89504e47) return { width: view.getUint32(16), height: view.getUint32(20) };
		// "GIF8"
		if (view.getUint32(0) === 0x47494638) return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
		if (view.getUint16(0) === 0xffd8) return jpeg(view);
		// "RIFF", "WEBP"
		if (view.getUint32(0) === 0x52494646 && view.getUint32(8) === 0x57454250) return webp(view);
		return null;
	} catch {
		// It ends before its size.
		return null;
	}
}

function jpeg(view: DataView): Size | null {
	let at = 2;
	for (let count = 0; count < SEGMENTS_MAX; count += 1) {
		if (view.getUint8(at) !== 0xff) return null;
		const marker = view.getUint8(at + 1);
		// Frame headers, but not the tables among them.
		const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
		if (isFrame) return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
		// Fill bytes have no length.
		at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
	}
	return null;
}

function webp(view: DataView): Size | null {
	const uint24 = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
	switch (view.getUint32(12)) {
		// "VP8X": the canvas
		case 0x56503858:
			return { width: 1 + uint24(24), height: 1 + uint24(27) };
		// "VP8 "
		case 0x56503820:
			return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
		// "VP8L": 14 bits each
		case 0x5650384c: {
			const bits = view.getUint32(21, true);
			return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >> 14) & 0x3fff) };
		}
		default:
			return null;
	}
}
