"use strict";
// Answers for the page without a server: a worker with the networks. `parts` has the files, which scripts define:
// a page that is opened from a disk may load scripts, and nothing else.
globalThis.answering = (() => {
  const {card, about, sizes} = parts, waiting = new Map();
  let worker = null, ready = null, last = 0, first = null;

  // Gzip in Base64 -> bytes.
  async function unpack(text) {
    const packed = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
    return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  }

  function load(name) {
    return new Promise((done, failed) => {
      const script = document.createElement("script");
      script.onload = () => { script.remove(); done(); };
      script.onerror = () => failed(new Error(`${name} cannot be loaded. Is the whole folder there?`));
      script.src = name;
      document.head.append(script);
    });
  }

  async function start() {
    for (const name of ["wasm", "model"]) if (!parts[name]) await load(`${name}.js`);
    const source = new Blob([parts.worker], {type: "text/javascript"});
    worker = new Worker(URL.createObjectURL(source));
    worker.onmessage = ({data: {id, answer, error}}) => {
      const {done, failed} = waiting.get(id);
      waiting.delete(id);
      if (error) failed(new Error(error)); else done(answer);
    };
    worker.onerror = event => {
      event.preventDefault();
      for (const {failed} of waiting.values()) failed(new Error(`The networks have stopped (${event.message || "no reason is known"}). Load the page again.`));
      waiting.clear();
      worker.terminate();
      ready = null;
    };
    const [wasm, model] = [await unpack(parts.wasm), await unpack(parts.model)];
    parts.wasm = parts.model = null; // the worker has them now
    await send({parts: {runtime: parts.runtime, wasm, model, card}}, [wasm.buffer, model.buffer]);
  }

  function send(message, moved = []) {
    return new Promise((done, failed) => {
      waiting.set(++last, {done, failed});
      worker.postMessage({id: last, ...message}, moved);
    });
  }

  const begin = () => ready ||= start().catch(error => { ready = null; throw error; });

  async function ask(path, file) {
    if (path === "v1/model") return about;
    if (path === "v1/classes") return {classes: card.classes};
    const began = first === null ? 0 : performance.now();
    await begin();
    const answer = await send({file}), seconds = (performance.now() - began) / 1000;
    if (first === null) first = seconds;
    base.at("speed").textContent = `The first answer came ${first.toFixed(1)} s after the page was opened` + (began ? `, the last one after ${seconds.toFixed(1)} s.` : ".");
    return {predictions: [answer]};
  }

  // Offline, once the page has been open: a service worker keeps all files.
  if ("serviceWorker" in navigator && location.protocol.startsWith("http"))
    navigator.serviceWorker.register("offline.js").catch(() => {});
  begin().catch(() => {}); // the first image says what is wrong
  return {ask, atOnce: 1, takes: `JPEG, PNG, WebP, BMP, GIF or AVIF. The networks (${sizes.total} MB) are in this page: no image leaves your device.`};
})();
