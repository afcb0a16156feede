"use strict";
// The bytes of an image file -> upright RGB pixels, as bestiary.data.decode makes them.

const UNREAD = "This page cannot read it. Save it as JPEG or PNG, or ask bestiary predict.";

async function decodeImage(bytes, input) {
  if (bytes.length === 0) throw new Error("empty file");
  const starts = (...signs) => signs.every((sign, at) => bytes[at] === sign);
  if (starts(0xff, 0xd8)) return decodeJpeg(bytes, input);
  if (starts(0x89, 0x50, 0x4e, 0x47)) return decodePng(await readPng(bytes), input.white);
  if (starts(0x49, 0x49, 0x2a) || starts(0x4d, 0x4d, 0, 0x2a)) throw new Error(`Browsers do not read TIFF. ${UNREAD}`);
  return composite(await browserPixels(new Blob([bytes])));
}

// JPEG: the browser decodes it, without its EXIF and its color profile, which it would act on.
async function decodeJpeg(bytes, input) {
  const {kept, orientation, components} = readJpegHead(bytes);
  const raw = await browserPixels(new Blob(kept, {type: "image/jpeg"}));
  const scale = components === 4 ? 8 : jpegScale(raw.width, raw.height, minSide(input));
  return upright(scaleBlocks(withoutAlpha(raw), scale), orientation);
}

function readJpegHead(bytes) {
  const kept = [bytes.subarray(0, 2)];
  let at = 2, orientation = 1, components = 3;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1], length = bytes[at + 2] << 8 | bytes[at + 3], segment = bytes.subarray(at, at + 2 + length);
    if (marker === 0xda) break;                                     // the pixels begin
    if (marker === 0xe1) orientation = exifOrientation(segment, 4) || orientation;
    else if (marker !== 0xe2 && marker !== 0xff) kept.push(segment); // 0xe2: the color profile
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) components = segment[9];
    at += marker === 0xff ? 1 : 2 + length;
  }
  return {kept: [...kept, bytes.subarray(at)], orientation, components};
}

// The orientation in EXIF, 1 to 8; 0 if there is none (CIPA DC-008, tag 0x0112).
function exifOrientation(bytes, start) {
  const name = String.fromCharCode(...bytes.subarray(start, start + 4)), at = start + (name === "Exif" ? 6 : 0);
  if (start && name !== "Exif" || bytes.length < at + 14) return 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at), little = view.getUint16(0) === 0x4949;
  try {
    const folder = view.getUint32(4, little), count = view.getUint16(folder, little);
    for (let entry = folder + 2; entry < folder + 2 + 12 * count; entry += 12)
      if (view.getUint16(entry, little) === 0x0112) {
        const value = view.getUint16(entry + 8, little);
        return value >= 1 && value <= 8 ? value : 1;
      }
  } catch { /* damaged EXIF is no fault of the pixels */ }
  return 0;
}

function upright({width, height, data}, orientation) {
  let image = {width, height, data};
  if (orientation >= 5) image = turn(image);
  if ([2, 3, 6, 7].includes(orientation)) image = mirror(image);
  if ([3, 4, 7, 8].includes(orientation)) image = flip(image);
  return image;
}

function mirror({width, height, data}) {
  const mirrored = new Uint8Array(data.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      mirrored.set(data.subarray(from, from + 3), (y * width + width - 1 - x) * 3);
    }
  return {width, height, data: mirrored};
}

function flip({width, height, data}) {
  const flipped = new Uint8Array(data.length), stride = width * 3;
  for (let y = 0; y < height; y++) flipped.set(data.subarray(y * stride, (y + 1) * stride), (height - 1 - y) * stride);
  return {width, height, data: flipped};
}

// All other formats as the browser reads them: four bytes a pixel.
async function browserPixels(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {premultiplyAlpha: "none", colorSpaceConversion: "none"});
  } catch {
    throw new Error(`It is no image that this browser reads, or it is damaged. ${UNREAD}`);
  }
  const {width, height} = bitmap, canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return {width, height, data: pen.getImageData(0, 0, width, height).data};
}

function withoutAlpha({width, height, data}) {
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  return {width, height, data: pixels};
}

// Transparency over white. Where nothing at all would show, the alpha channel was written by mistake.
function composite({width, height, data}) {
  let visible = false;
  for (let at = 3; at < data.length && !visible; at += 4) visible = data[at] > 0;
  if (!visible) return withoutAlpha({width, height, data});
  const pixels = new Uint8ClampedArray(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const alpha = data[from + 3], rest = 255 * (255 - alpha);
    for (let channel = 0; channel < 3; channel++) pixels[to++] = (data[from + channel] * alpha + rest) / 255;
  }
  return {width, height, data: new Uint8Array(pixels.buffer)};
}

function decodePng(png, white) {
  const {width, height} = png, orientation = png.exif ? exifOrientation(png.exif, 0) || 1 : 1;
  const image = png.depth === 16 ? {width, height, data: deepPixels(png, white)} : composite({width, height, data: pngColors(png)});
  return upright(image, orientation);
}

// 8 bits and less: four bytes a pixel.
function pngColors({kind, channels, depth, samples, palette, transparency}) {
  const count = samples.length / channels, data = new Uint8Array(count * 4), scale = kind === 3 ? 1 : 255 / ((1 << depth) - 1);
  const key = transparency && kind !== 3 ? Array.from({length: channels}, (_, at) => transparency[2 * at] << 8 | transparency[2 * at + 1]) : null;
  for (let at = 0; at < count; at++) {
    const own = samples.subarray(at * channels, (at + 1) * channels), to = at * 4;
    if (kind === 3) {
      data.set(palette.subarray(own[0] * 3, own[0] * 3 + 3), to);
      data[to + 3] = transparency?.[own[0]] ?? 255;
    } else {
      const gray = channels < 3;
      for (let channel = 0; channel < 3; channel++) data[to + channel] = own[gray ? 0 : channel] * scale;
      data[to + 3] = channels % 2 === 0 ? own[channels - 1] : key && key.every((value, channel) => own[channel] === value) ? 0 : 255;
    }
  }
  return data;
}

// 16 bits, by the value that means white: the file's own word, or else the card's (bestiary.data.bit_depth).
function deepPixels({kind, channels, samples, significantBits}, [white]) {
  const gray = channels < 3, alphaAt = channels % 2 === 0 ? channels - 1 : -1, count = samples.length / channels;
  const own = kind === 0 ? ownWhite(samples, significantBits) : 0, level = own || white;
  let hasAlpha = false;
  for (let at = alphaAt; alphaAt > 0 && at < samples.length && !hasAlpha; at += channels) hasAlpha = samples[at] > 0;
  const pixels = new Uint8Array(count * 3);
  for (let at = 0; at < count; at++) {
    const alpha = hasAlpha ? samples[at * channels + alphaAt] / 65535 : 1;
    for (let channel = 0; channel < 3; channel++) {
      const value = samples[at * channels + (gray ? 0 : channel)];
      if (!own && value > level * 1.05) throw new Error(`values reach ${value} where white is ${level}`);
      pixels[at * 3 + channel] = roundEven(255 * (Math.min(value / level, 1) * alpha + 1 - alpha));
    }
  }
  return pixels;
}

function ownWhite(samples, bits) {
  if (!(bits > 8 && bits < 16)) return 0;
  const mask = (1 << 16 - bits) - 1;
  const zero = samples.every(value => (value & mask) === 0), repeated = zero || samples.every(value => (value & mask) === value >> bits);
  return repeated ? 65535 : (1 << bits) - 1;
}
