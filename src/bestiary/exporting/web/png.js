"use strict";
// The bytes of a PNG -> its samples, exactly. A canvas cannot tell them: it has 8 bits, multiplies by alpha and
// manages colors. Follows "Portable Network Graphics Specification (Second Edition)".

const PNG_MAX_PIXELS = 178e6;
const PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4};
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

// {width, height, depth, kind, channels, samples, palette, transparency, significantBits, exif}
async function readPng(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), chunks = [], png = {palette: null, transparency: null, significantBits: 0, exif: null};
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at), name = String.fromCharCode(...bytes.subarray(at + 4, at + 8)), content = bytes.subarray(at + 8, at + 8 + length);
    if (content.length < length) throw new Error("truncated");
    if (name === "IHDR") Object.assign(png, pngHead(content));
    else if (name === "PLTE") png.palette = content;
    else if (name === "tRNS") png.transparency = content;
    else if (name === "sBIT") png.significantBits = content[0];
    else if (name === "eXIf") png.exif = content;
    else if (name === "IDAT") chunks.push(content);
    else if (name === "IEND") break;
    at += length + 12;
  }
  if (!png.width || !chunks.length) throw new Error("damaged (no pixels)");
  const stream = new Blob(chunks).stream().pipeThrough(new DecompressionStream("deflate"));
  const packed = await pngInflate(stream, pngBytes(png));
  png.samples = pngSamples(png, packed);
  return png;
}

function pngHead(content) {
  const view = new DataView(content.buffer, content.byteOffset), [depth, kind, , , interlaced] = content.subarray(8, 13);
  const width = view.getUint32(0), height = view.getUint32(4);
  if (!PNG_CHANNELS[kind] || ![1, 2, 4, 8, 16].includes(depth)) throw new Error("damaged (unknown kind of PNG)");
  if (width * height > PNG_MAX_PIXELS) throw new Error("above the limit of 178 million pixels");
  return {width, height, depth, kind, channels: PNG_CHANNELS[kind], interlaced};
}

function pngPasses({width, height, interlaced}) {
  if (!interlaced) return [{left: 0, top: 0, across: 1, down: 1, width, height}];
  return ADAM7.map(([left, top, across, down]) => ({left, top, across, down, width: Math.ceil((width - left) / across), height: Math.ceil((height - top) / down)}))
    .filter(pass => pass.width > 0 && pass.height > 0);
}

const pngRowBytes = (png, width) => Math.ceil(width * png.channels * png.depth / 8);
const pngBytes = png => pngPasses(png).reduce((sum, pass) => sum + pass.height * (1 + pngRowBytes(png, pass.width)), 0);

// As many bytes as the header says, and no more: a bomb ends here.
async function pngInflate(stream, length) {
  const packed = new Uint8Array(length), reader = stream.getReader();
  let filled = 0;
  while (filled < length) {
    const {done, value} = await reader.read();
    if (done) throw new Error("truncated");
    packed.set(value.subarray(0, length - filled), filled);
    filled += value.length;
  }
  reader.cancel().catch(() => {});
  return packed;
}

function pngSamples(png, packed) {
  const {width, height, channels, depth} = png, samples = depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  const step = Math.max(1, channels * depth / 8);
  let at = 0;
  for (const pass of pngPasses(png)) {
    const length = pngRowBytes(png, pass.width);
    let above = new Uint8Array(length);
    for (let y = 0; y < pass.height; y++) {
      const row = packed.subarray(at + 1, at + 1 + length);
      pngUnfilter(packed[at], row, above, step);
      pngPlace(png, samples, row, pass, y);
      above = row;
      at += length + 1;
    }
  }
  return samples;
}

function pngUnfilter(filter, row, above, step) {
  for (let x = 0; filter && x < row.length; x++) {
    const left = x < step ? 0 : row[x - step], up = above[x];
    if (filter === 1) row[x] += left;
    else if (filter === 2) row[x] += up;
    else if (filter === 3) row[x] += (left + up) >> 1;
    else if (filter === 4) row[x] += paeth(left, up, x < step ? 0 : above[x - step]);
    else throw new Error("damaged (unknown filter)");
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner, toLeft = Math.abs(guess - left), toUp = Math.abs(guess - up), toCorner = Math.abs(guess - corner);
  return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
}

function pngPlace({width, channels, depth}, samples, row, pass, y) {
  const start = (pass.top + y * pass.down) * width;
  for (let x = 0; x < pass.width; x++) {
    const to = (start + pass.left + x * pass.across) * channels;
    for (let channel = 0; channel < channels; channel++) {
      const number = x * channels + channel;
      if (depth === 16) samples[to + channel] = row[2 * number] << 8 | row[2 * number + 1];
      else if (depth === 8) samples[to + channel] = row[number];
      else samples[to + channel] = row[number * depth >> 3] >> (8 - depth - number * depth % 8) & (1 << depth) - 1;
    }
  }
}
