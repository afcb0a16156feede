"use strict";
// The worker of the page: files in, answers out, one after the other, so that the page stays alive.
// The page sends the runtime, the networks and the card first: a page opened from a disk may read no files itself.

let session = null, card = null;

async function start({runtime, wasm, model, card: given}) {
  const address = URL.createObjectURL(new Blob([runtime], {type: "text/javascript"}));
  globalThis.ort = await import(address);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1; // a static host sends no headers, and without them there are no threads
  session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
  card = given;
}

async function view(file) {
  return makeView(await decodeImage(new Uint8Array(await file.arrayBuffer()), card.input), card.input).data;
}

async function answer(file) {
  const {size, name} = card.input, pixels = await view(file);
  const outputs = await session.run({[name]: new ort.Tensor("uint8", pixels, [1, size, size, 3])});
  return answerOf(card, {probabilities: outputs.probabilities.data, energy: outputs.energy.data[0], logits: outputs.logits.data});
}

let queue = Promise.resolve();
onmessage = ({data: {id, file, parts}}) => {
  queue = queue.then(async () => {
    try {
      postMessage({id, answer: parts ? await start(parts) : await answer(file)});
    } catch (error) {
      postMessage({id, error: error.message || String(error)});
    }
  });
};
