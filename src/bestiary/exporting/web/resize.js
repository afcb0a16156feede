"use strict";
// Pixels -> the network's view, to the letter of the card, as bestiary.data.eval_view and .resize make it.
// An image is {width, height, data}: data has three bytes a pixel, RGB.

// Python's round: halves go to the even neighbor.
function roundEven(value) {
  const below = Math.floor(value), rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

// Least short side that a JPEG is decoded at: two pixels for each pixel of the view.
function minSide(input) {
  return Math.ceil(2 * input.size / (input.resize === "crop" ? input.crop : 1));
}

function makeView(image, input) {
  const {size} = input;
  if (input.resize === "crop") {
    const side = Math.max(1, roundEven(Math.min(image.width, image.height) * input.crop));
    image = crop(image, Math.floor((image.height - side) / 2), Math.floor((image.width - side) / 2), side, side);
  }
  // Sides that are too long shrink first; then sides that are too short grow.
  const width = Math.min(size, image.width), height = Math.min(size, image.height);
  if (width < image.width) image = shrinkRows(image, width);
  if (height < image.height) image = turn(shrinkRows(turn(image), height));
  if (size > image.width || size > image.height) image = enlarge(image, size, size, input.enlarge);
  return image;
}

function crop({width, data}, top, left, newHeight, newWidth) {
  const cropped = new Uint8Array(newWidth * newHeight * 3);
  for (let y = 0; y < newHeight; y++) {
    const start = ((top + y) * width + left) * 3;
    cropped.set(data.subarray(start, start + newWidth * 3), y * newWidth * 3);
  }
  return {width: newWidth, height: newHeight, data: cropped};
}

// Rows become columns.
function turn({width, height, data}) {
  const turned = new Uint8Array(data.length);
  for (let y = 0, from = 0; y < height; y++)
    for (let x = 0; x < width; x++, from += 3) {
      const to = (x * height + y) * 3;
      turned[to] = data[from];
      turned[to + 1] = data[from + 1];
      turned[to + 2] = data[from + 2];
    }
  return {width: height, height: width, data: turned};
}

// The triangle filter of Pillow and PyTorch for bytes: weights are whole numbers of 16 bits.
function triangle(length, shorter) {
  const scale = length / shorter, filters = [];
  let largest = 0;
  for (let to = 0; to < shorter; to++) {
    const center = scale * (to + 0.5);
    const first = Math.max(Math.trunc(center - scale + 0.5), 0);
    const count = Math.min(Math.trunc(center + scale + 0.5), length) - first;
    const weights = Array.from({length: count}, (_, at) => Math.max(0, 1 - Math.abs((at + first - center + 0.5) / scale)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    filters.push({first, weights: weights.map(weight => weight / total)});
    largest = Math.max(largest, ...filters[to].weights);
  }
  let precision = 0;
  while (precision < 22 && Math.trunc(0.5 + largest * 2 ** (precision + 1)) < 1 << 15) precision++;
  for (const filter of filters) filter.weights = Int32Array.from(filter.weights, weight => Math.trunc(0.5 + weight * 2 ** precision));
  return {filters, precision};
}

function shrinkRows({width, height, data}, newWidth) {
  const {filters, precision} = triangle(width, newWidth), half = 1 << (precision - 1);
  const shrunk = new Uint8ClampedArray(newWidth * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < newWidth; x++) {
      const {first, weights} = filters[x];
      let red = half, green = half, blue = half, from = (y * width + first) * 3;
      for (let at = 0; at < weights.length; at++, from += 3) {
        red += data[from] * weights[at];
        green += data[from + 1] * weights[at];
        blue += data[from + 2] * weights[at];
      }
      const to = (y * newWidth + x) * 3;
      shrunk[to] = red >> precision;
      shrunk[to + 1] = green >> precision;
      shrunk[to + 2] = blue >> precision;
    }
  return {width: newWidth, height, data: new Uint8Array(shrunk.buffer)};
}

// Bilinear or bicubic (a = -0.75), as OpenCV places its pixels. Weights of a length are whole numbers of 11 bits.
const WEIGHT_BITS = 11;

function taps(length, longer, kind) {
  const clamp = at => Math.min(Math.max(at, 0), length - 1), whole = weight => roundEven(weight * (1 << WEIGHT_BITS));
  return Array.from({length: longer}, (_, to) => {
    const place = (to + 0.5) * length / longer - 0.5, first = Math.floor(place), share = place - first;
    if (kind !== "bicubic") return {at: [clamp(first), clamp(first + 1)], weights: [whole(1 - share), whole(share)]};
    const a = -0.75, near = 1 - share;
    const weights = [
      ((a * (share + 1) - 5 * a) * (share + 1) + 8 * a) * (share + 1) - 4 * a,
      ((a + 2) * share - (a + 3)) * share * share + 1,
      ((a + 2) * near - (a + 3)) * near * near + 1,
    ];
    weights.push(1 - weights[0] - weights[1] - weights[2]);
    return {at: [-1, 0, 1, 2].map(step => clamp(first + step)), weights: weights.map(whole)};
  });
}

function enlarge({width, height, data}, newWidth, newHeight, kind) {
  const columns = taps(width, newWidth, kind), rows = taps(height, newHeight, kind), stride = newWidth * 3;
  const wide = new Int32Array(stride * height), enlarged = new Uint8ClampedArray(stride * newHeight);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < newWidth; x++)
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let tap = 0; tap < columns[x].at.length; tap++) sum += columns[x].weights[tap] * data[(y * width + columns[x].at[tap]) * 3 + channel];
        wide[y * stride + x * 3 + channel] = sum;
      }
  for (let y = 0; y < newHeight; y++) {
    const {at, weights} = rows[y];
    for (let x = 0; x < stride; x++)
      // Bilinear drops bits between its steps, as OpenCV's VResizeLinear does; bicubic rounds once.
      if (kind !== "bicubic") {
        const above = (wide[at[0] * stride + x] >> 4) * weights[0] >> 16, below = (wide[at[1] * stride + x] >> 4) * weights[1] >> 16;
        enlarged[y * stride + x] = above + below + 2 >> 2;
      } else {
        let sum = 0;
        for (let tap = 0; tap < 4; tap++) sum += wide[at[tap] * stride + x] * weights[tap];
        enlarged[y * stride + x] = sum / (1 << 2 * WEIGHT_BITS);
      }
  }
  return {width: newWidth, height: newHeight, data: new Uint8Array(enlarged.buffer)};
}

// A JPEG at N/8 of its size, as libjpeg decodes it: each block of 8 x 8 pixels becomes one of N x N.
// predict decodes so, and shrinking the whole image instead would give other pixels.
function jpegScale(width, height, side) {
  for (let n = 1; n < 8; n++)
    if (Math.ceil(width * n / 8) >= side && Math.ceil(height * n / 8) >= side) return n;
  return 8;
}

function scaleBlocks(image, n) {
  if (n === 8) return image;
  return turn(scaleRows(turn(scaleRows(image, n)), n));
}

function scaleRows({width, height, data}, n) {
  const newWidth = Math.ceil(width * n / 8), scaled = new Uint8ClampedArray(newWidth * height * 3), matrix = blockMatrix(n);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < newWidth; x++) {
      const weights = matrix[x % n], start = Math.floor(x / n) * 8;
      let red = 0, green = 0, blue = 0;
      for (let at = 0; at < 8; at++) {
        const from = (y * width + Math.min(start + at, width - 1)) * 3;
        red += weights[at] * data[from];
        green += weights[at] * data[from + 1];
        blue += weights[at] * data[from + 2];
      }
      const to = (y * newWidth + x) * 3;
      scaled[to] = red;
      scaled[to + 1] = green;
      scaled[to + 2] = blue;
    }
  return {width: newWidth, height, data: new Uint8Array(scaled.buffer)};
}

// 1, 2 and 4 are means of neighbors (jidctred.c); others drop the high frequencies (jidctint.c).
function blockMatrix(n) {
  if (8 % n === 0) return Array.from({length: n}, (_, to) => Array.from({length: 8}, (_, from) => Math.floor(from * n / 8) === to ? n / 8 : 0));
  const wave = (frequency, place, length) => Math.cos(Math.PI * frequency * (2 * place + 1) / (2 * length));
  return Array.from({length: n}, (_, to) => Array.from({length: 8}, (_, from) => {
    let sum = 1 / 8;
    for (let frequency = 1; frequency < n; frequency++) sum += wave(frequency, from, 8) * wave(frequency, to, n) / 4;
    return sum;
  }));
}
