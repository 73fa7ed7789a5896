// A fragmented MP4 with one audio track: just enough for programs that take media from standard input.

const TIMESCALE = 48_000;
/** Samples of a fragment: 50 ms. */
const FRAGMENT = 2_400;
const TRACK = 1;

/** How long a fragment plays. */
export const FRAGMENT_MS = (FRAGMENT * 1000) / TIMESCALE;

/** ftyp and moov: what goes before the first fragment. */
export function header() {
  const ftyp = box('ftyp', text('iso5'), u32(0), text('iso5dash'));
  const mvhd = box('mvhd', u32(0), u32(0), u32(0), u32(1000), u32(0), u32(0x10000), u16(0x100), zeros(10), matrix(), zeros(24), u32(TRACK + 1));
  const tkhd = box('tkhd', u32(7), u32(0), u32(0), u32(TRACK), u32(0), u32(0), zeros(8), u16(0), u16(0), u16(0x100), u16(0), matrix(), u32(0), u32(0));
  const mdhd = box('mdhd', u32(0), u32(0), u32(0), u32(TIMESCALE), u32(0), u16(0x55c4), u16(0));
  const hdlr = box('hdlr', u32(0), u32(0), text('soun'), zeros(12), text('sound\0'));
  const dinf = box('dinf', box('dref', u32(0), u32(1), box('url ', u32(1))));
  const stbl = box('stbl', box('stsd', u32(0), u32(1), mp4a()), ...['stts', 'stsc', 'stco'].map((name) => box(name, u32(0), u32(0))), box('stsz', u32(0), u32(0), u32(0)));
  const minf = box('minf', box('smhd', u32(0), u32(0)), dinf, stbl);
  const trak = box('trak', tkhd, box('mdia', mdhd, hdlr, minf));
  const mvex = box('mvex', box('trex', u32(0), u32(TRACK), u32(1), u32(FRAGMENT), u32(0), u32(0)));
  return Buffer.concat([ftyp, box('moov', mvhd, trak, mvex)]);
}

/** The n-th fragment: moof and mdat around a payload. */
export function fragment(n, payload) {
  const tfhd = box('tfhd', u32(0x02_0000), u32(TRACK));
  const tfdt = box('tfdt', u32(0), u32(n * FRAGMENT));
  // One sample that depends on no other; its data begins behind the moof and the head of the mdat.
  const trun = (offset) => box('trun', u32(0x0000_0701), u32(1), u32(offset), u32(FRAGMENT), u32(payload.length), u32(0x0200_0000));
  const moof = (offset) => box('moof', box('mfhd', u32(0), u32(n + 1)), box('traf', tfhd, tfdt, trun(offset)));
  return Buffer.concat([moof(moof(0).length + 8), box('mdat', payload)]);
}

function mp4a() {
  // AAC-LC, 48 kHz, two channels.
  const specific = descriptor(5, Buffer.from([0x11, 0x90]));
  const decoder = descriptor(4, Buffer.concat([Buffer.from([0x40, 0x15, 0, 0, 0]), u32(64_000), u32(64_000), specific]));
  const stream = descriptor(3, Buffer.concat([u16(TRACK), Buffer.from([0]), decoder, descriptor(6, Buffer.from([2]))]));
  return box('mp4a', zeros(6), u16(1), zeros(8), u16(2), u16(16), u32(0), u32(TIMESCALE << 16 >>> 0), box('esds', u32(0), stream));
}

const box = (name, ...parts) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(body.length + 8), text(name), body]);
};
const descriptor = (tag, body) => Buffer.concat([Buffer.from([tag, body.length]), body]);
const text = (value) => Buffer.from(value, 'latin1');
const zeros = (length) => Buffer.alloc(length);
const u16 = (value) => {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
};
const u32 = (value) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
const matrix = () => Buffer.concat([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32));
