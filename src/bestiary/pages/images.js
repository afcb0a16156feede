"use strict";
// Images in, answers out: the page of a service, and of an exported page, which answers by itself.
// An exported page defines `answering` in a script of its own: ask(path, file), atOnce, takes. No markup is ever made from text.
const {at} = base, own = globalThis.answering;
const items = [];           // {file, name, url, answer, why, error, row}
const AT_ONCE = own?.atOnce || 4; // requests under way; a server gathers them into batches
const TRIES = 8;            // of an image that the server had no room for
let model = null, current = null, underWay = 0, next = 0, token = sessionStorage.getItem("token") || "", asking = null;

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const percent = share => share >= 0.9995 ? "> 99.9 %" : share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
const plain = label => label.replaceAll("_", " ");
const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds));

// Errors are said to the person: on the page, and by screen readers, since the region is an alert.
function complain(text) {
  const one = make("p", {className: "alert"}, make("span", {textContent: text}));
  one.append(make("button", {type: "button", textContent: "Dismiss", onclick: () => one.remove()}));
  while (at("alerts").children.length > 3) at("alerts").firstChild.remove();
  at("alerts").append(one);
}

// The token is asked for once, however many requests find that they need it.
function askToken(wrong) {
  asking ||= new Promise(done => {
    at("askwhy").textContent = wrong ? "That token is not the right one." :
      "Whoever runs it can give you one. It is kept until you close this tab.";
    at("token").value = "";
    at("ask").returnValue = "";
    at("ask").onclose = () => {
      asking = null;
      if (at("ask").returnValue === "ok" && at("token").value.trim()) {
        token = at("token").value.trim();
        sessionStorage.setItem("token", token);
        done(true);
      } else done(false);
    };
    at("ask").showModal();
  });
  return asking;
}

async function ask(path, body) {
  if (own) return own.ask(path, body);
  for (let tried = 1; ; tried++) {
    const used = token;
    let response;
    try {
      response = await fetch(path, {
        method: body ? "POST" : "GET", body,
        headers: {...(used && {Authorization: `Bearer ${used}`}), ...(body && {"Content-Type": "application/octet-stream"})},
      });
    } catch {
      throw new Error("The service does not answer. Is it still running, and is there a connection?");
    }
    if (response.ok) return response.json();
    if (response.status === 401 && (used !== token || await askToken(Boolean(used)))) continue;
    if (response.status === 503 && tried < TRIES) {
      await pause((Number(response.headers.get("Retry-After")) || 1) * (0.5 + Math.random()));
      continue;
    }
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail || `The service answered with ${response.status}.`);
  }
}

// Images come in by four ways and are one list from here on.
function add(files) {
  const some = [...files].filter(file => file.size || file.type);
  if (!some.length) { complain("There is no image in that."); return; }
  const fresh = some.map(file => ({file, name: file.name || "pasted image", url: URL.createObjectURL(file)}));
  items.push(...fresh);
  document.body.classList.add("used");
  for (const item of fresh) addRow(item);
  show(fresh[0]);
  work();
}

function work() {
  while (underWay < AT_ONCE && next < items.length) answer(items[next++]);
  tally();
}

async function answer(item) {
  underWay++;
  try {
    if (model && item.file.size > model.limits.bytes)
      throw new Error(`It is larger than the ${model.limits.bytes / 1e6} MB that are taken here.`);
    item.answer = (await ask("v1/predict", item.file)).predictions[0];
  } catch (error) {
    item.error = error.message;
    complain(`${item.name}: ${error.message}`);
  }
  underWay--;
  fillRow(item);
  if (item === current) show(item);
  work();
}

async function explain(item) {
  item.why = "asked";
  try { item.why = await ask("v1/explain", item.file); } catch (error) { item.why = {failed: error.message}; }
  if (item === current) { at("trained").hidden = !item.why.trained_on; showWhy(item); }
}

// What is said of one image.
const verdicts = {
  waiting: ["Looking …", "waiting"], failed: ["No answer", "unknown"], unknown: ["Unknown", "unknown"],
  accepted: ["Sure", "accepted"], check: ["Not sure", "check"], bare: ["Not calibrated", "check"],
};

function verdict({answer, error}) {
  if (error) return "failed";
  if (!answer) return "waiting";
  if (answer.unknown === null) return "bare";
  return answer.unknown ? "unknown" : answer.accepted ? "accepted" : "check";
}

function meaning(item) {
  const {answer, error} = item, right = answer && Math.round(100 * answer.confidence);
  const share = right >= 100 ? "more than 99" : `about ${right}`;
  return {
    waiting: "", failed: error,
    unknown: "This image is unlike anything the model has learnt from. Below is what it comes nearest to; do not take it for an answer.",
    accepted: `Of answers this confident, ${share} in 100 are right.`,
    check: right < 95 ? `Of answers this confident, only ${share} in 100 are right. Look for yourself.`
      : `This confident, ${share} in 100 should be right, but too few labeled images have shown it. Look for yourself.`,
    bare: "The run behind this is not finished, so that its confidence has not been checked against images it had not seen.",
  }[verdict(item)];
}

// What a promise and costs, where the service was started with them, decide.
function decided(answer) {
  if (!answer || answer.unknown) return "";
  const promise = {true: "This label keeps the precision that is promised of its class.", false: "Nothing is promised of this label."};
  const cost = answer.decision && (answer.decision === answer.label ? "" : `By the costs of mistakes, decide for ${plain(answer.decision)}.`);
  return [promise[answer.promised], cost].filter(Boolean).join(" ");
}

function show(item) {
  current = item;
  at("result").hidden = false;
  const kind = verdict(item), [word, style] = verdicts[kind], {answer} = item;
  at("badge").textContent = word;
  at("badge").className = `badge ${style}`;
  at("result").classList.toggle("doubted", kind === "unknown");
  at("label").textContent = answer ? (answer.unknown ? "Nothing it knows" : plain(answer.label)) : kind === "failed" ? "This image has no answer" : "One moment";
  at("meaning").textContent = [meaning(item), decided(answer)].filter(Boolean).join(" ");
  at("top").replaceChildren(...(answer ? answer.top : []).map(answer?.unknown ? nearest : bar));
  at("setbox").hidden = !answer?.prediction_set || answer.unknown;
  at("set").replaceChildren(...(answer?.prediction_set || []).map(name => make("li", {textContent: plain(name)})));
  at("setnote").textContent = "Sets like this hold the true class of nine images in ten" +
    (answer?.prediction_set?.length === 1 ? "." : ", so this one is settled by looking.");
  at("file").textContent = item.name;
  if (at("image").src !== item.url) {
    at("image").parentElement.hidden = false;
    at("noshow").hidden = true;
    at("image").src = item.url;
  }
  at("image").alt = answer ? `${item.name}, answered with ${at("label").textContent}` : item.name;
  for (const {row} of items) row?.toggleAttribute("aria-current", row === item.row);
  if (item.row?.hasAttribute("aria-current")) item.row.setAttribute("aria-current", "true");
  at("trained").hidden = !item.why?.trained_on;
  showWhy(item);
  if (answer && item.why === undefined && !own) explain(item);
  if (kind !== "waiting") at("status").textContent = `${item.name}: ${word}. ${at("label").textContent}` + (answer && !answer.unknown ? `, ${percent(answer.confidence)}` : "");
}

// A confidence says which of the known classes it is. Of an unknown image it says nothing.
function nearest({label}) {
  return make("li", {}, make("span", {className: "name", textContent: plain(label)}));
}

function bar({label, confidence}) {
  const fill = make("i");
  fill.style.width = `${100 * confidence}%`;
  return make("li", {}, make("span", {className: "name", textContent: plain(label)}), make("span", {className: "share", textContent: percent(confidence)}),
    make("span", {className: "track"}, fill));
}

function showWhy({why, answer, error}) {
  const known = why && why !== "asked" && !why.failed ? why : null;
  at("looked").hidden = !known?.mask;
  at("mask").hidden = !known?.mask || at("looked").getAttribute("aria-pressed") !== "true";
  if (known?.mask) at("mask").src = known.mask; else at("mask").removeAttribute("src");
  at("similarbox").hidden = !answer || Boolean(error) || Boolean(own);
  at("similar").replaceChildren(...(known?.similar || []).map(one => make("li", {},
    one.image ? make("img", {src: one.image, alt: `training image of ${plain(one.label)}`})
      : make("span", {className: "gone", textContent: "no longer there"}),
    make("b", {textContent: plain(one.label)}), make("small", {textContent: one.path.split("/").pop(), title: one.path}))));
  at("similarnote").textContent = why?.failed || (!known ? "Looking for them …" : known.similar ? "" :
    `None can be shown: ${model?.similar || "this service does not know them"}.`);
}

// Many images: a row each.
function addRow(item) {
  const thumb = make("img", {src: item.url, alt: "", loading: "lazy", decoding: "async"});
  thumb.onerror = () => thumb.replaceWith(make("span", {className: "blank"}));
  const open = make("button", {type: "button", className: "open", onclick: () => { show(item); at("label").focus(); at("result").scrollIntoView({block: "nearest"}); }},
    thumb, make("span", {textContent: item.name}));
  item.row = make("tr", {}, make("td", {}, open), ...Array.from({length: 4}, () => make("td")));
  at("rows").append(item.row);
  at("many").hidden = items.length < 2;
}

function fillRow(item) {
  const [, label, confidence, set, note] = item.row.children, {answer, error} = item, kind = verdict(item);
  label.textContent = answer ? (answer.unknown ? `unknown; nearest: ${plain(answer.label)}` : plain(answer.label)) : "";
  item.row.classList.toggle("dim", kind === "unknown" || kind === "failed");
  confidence.textContent = answer && !answer.unknown ? percent(answer.confidence) : "";
  set.textContent = (answer?.unknown ? [] : answer?.prediction_set || []).slice(0, 4).map(plain).join(", ") + (!answer?.unknown && answer?.prediction_set?.length > 4 ? ` and ${answer.prediction_set.length - 4} more` : "");
  note.replaceChildren(make("span", {className: {accepted: "good", check: "doubt"}[kind] || "bad", textContent: verdicts[kind][0], title: error || ""}));
  filter();
}

// Only some kinds of answers, and in the order of a column.
const kinds = {accepted: "sure", check: "not sure", bare: "not calibrated", unknown: "unknown", failed: "without an answer"};
let only = "";

function filter() {
  const counts = {};
  for (const item of items) counts[verdict(item)] = (counts[verdict(item)] || 0) + 1;
  if (!counts[only]) only = "";
  const choices = [["", "all", items.length], ...Object.entries(kinds).map(([kind, words]) => [kind, words, counts[kind]])];
  at("filters").replaceChildren(...choices.filter(([, , count]) => count).map(([kind, words, count]) => {
    const button = make("button", {type: "button", textContent: `${count} ${words}`, onclick: () => { only = kind; filter(); }});
    button.setAttribute("aria-pressed", String(only === kind));
    return button;
  }));
  for (const item of items) item.row.hidden = Boolean(only) && verdict(item) !== only;
}

function sort(head, column) {
  const rising = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const values = [item => item.name, item => item.answer?.label ?? "", item => item.answer?.confidence ?? -1, null, item => Object.keys(kinds).indexOf(verdict(item))];
  const value = values[column], compare = (a, b) => typeof value(a) === "number" ? value(a) - value(b) : value(a).localeCompare(value(b), undefined, {numeric: true});
  at("rows").append(...[...items].sort((a, b) => rising ? compare(a, b) : compare(b, a)).map(item => item.row));
}

function tally() {
  const done = items.filter(item => item.answer || item.error);
  at("progress").value = items.length ? done.length / items.length : 0;
  at("progress").hidden = done.length === items.length;
  at("tally").textContent = `${done.length} of ${items.length} answered`;
  at("csv").disabled = !done.length;
}

// The table, with the columns of bestiary predict.
function table() {
  const answers = items.map(({answer}) => answer).filter(Boolean);
  const decisions = ["promised", "decision", "expected_cost"].filter(column => answers.some(answer => answer[column] !== null && answer[column] !== undefined));
  const ranks = [2, 3, 4, 5].flatMap(n => [`label_${n}`, `confidence_${n}`]);
  const head = ["path", "label", "confidence", ...ranks, "member_agreement", "prediction_set", "accepted", "unknown", "error", ...decisions];
  const rows = items.filter(item => item.answer || item.error).map(({name, answer, error}) => {
    const others = [1, 2, 3, 4].flatMap(n => [answer?.top[n]?.label, answer?.top[n]?.confidence]);
    return [name, answer?.label, answer?.confidence, ...others, answer?.member_agreement, answer?.prediction_set?.join("|"), answer?.accepted, answer?.unknown, error, ...decisions.map(column => answer?.[column])];
  });
  return base.csv([head, ...rows]);
}

function clear() {
  for (const item of items.splice(0)) URL.revokeObjectURL(item.url);
  next = 0;
  current = null;
  at("rows").replaceChildren();
  at("alerts").replaceChildren();
  at("result").hidden = at("many").hidden = true;
  document.body.classList.remove("used");
  at("choose").focus();
}

// The ways in.
async function filesOf(entry) {  // of a folder, all below it
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    for (const one of some) if (!one.name.startsWith(".")) found.push(...await filesOf(one));
  }
}

async function drop(event) {
  event.preventDefault();
  at("start").classList.remove("over");
  const entries = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry?.()), files = [...event.dataTransfer.files];
  if (!entries.some(entry => entry?.isDirectory)) { add(files); return; }
  try { add((await Promise.all(entries.filter(Boolean).map(filesOf))).flat()); } catch { complain("That folder cannot be read."); }
}

const carriesFiles = event => [...(event.dataTransfer?.types || [])].includes("Files");
addEventListener("dragover", event => { if (carriesFiles(event)) { event.preventDefault(); at("start").classList.add("over"); } });
addEventListener("dragleave", event => { if (!event.relatedTarget) at("start").classList.remove("over"); });
addEventListener("drop", event => {
  if (carriesFiles(event)) drop(event);
  else if (event.target.tagName !== "INPUT") { event.preventDefault(); complain("That is no file. Save the image first, or copy and paste it."); }
});
addEventListener("paste", event => {
  if (event.target.id === "token") return;
  if (event.clipboardData.files.length) add(event.clipboardData.files);
  else complain("There is no image on the clipboard. Copy an image, not its address.");
});
for (const [button, input] of [["choose", "files"], ["camera", "photo"]]) {
  at(button).onclick = () => at(input).click();
  at(input).onchange = () => { if (at(input).files.length) add(at(input).files); at(input).value = ""; };
}
at("image").onload = () => at("image").parentElement.style.setProperty("--wide", at("image").naturalWidth / at("image").naturalHeight);
at("image").onerror = () => { at("image").parentElement.hidden = true; at("noshow").hidden = false; };
at("looked").onclick = () => {
  const on = at("looked").getAttribute("aria-pressed") !== "true";
  at("looked").setAttribute("aria-pressed", on);
  at("mask").hidden = !on;
};
at("csv").onclick = () => base.save("prediction.csv", table(), "text/csv");
at("clear").onclick = clear;

for (const [column, head] of [...document.querySelectorAll("th")].entries()) {
  const button = head.querySelector("button");
  if (button) button.onclick = () => sort(head, column);
}

// About the model.
function fact(term, text, more) {
  return make("div", {}, make("dt", {textContent: term}), make("dd", {textContent: text}, ...(more ? [make("small", {textContent: more})] : [])));
}

async function introduce() {
  if (at("curl")) at("curl").textContent = `curl -F images=@cat.jpg ${location.origin}/v1/predict`;
  try {
    model = await ask("v1/model");
    const {classes} = await ask("v1/classes"), {score, limits} = model;
    document.title = `${model.name}: what is in your image?`;
    at("name").textContent = model.name;
    at("lead").textContent = `Drop images here, paste one, or choose them. It knows ${classes.length.toLocaleString("en")} classes, and says when it does not know.`;
    at("takes").textContent = own?.takes || `JPEG, PNG, WebP, BMP, TIFF or GIF, up to ${limits.bytes / 1e6} MB each. Nothing is kept.`;
    at("facts").replaceChildren(
      ...(score ? [fact("Right on images it had not seen", percent(score.accuracy), `95 % interval ${percent(score.low)} to ${percent(score.high)}, ${score.images.toLocaleString("en")} images`)] : []),
      fact("Classes", model.classes.toLocaleString("en")), fact("Networks averaged", String(model.members), `${model.backbone} by ${model.engine}`));
    at("report").hidden = !model.report;
    at("knows").textContent = `The ${classes.length.toLocaleString("en")} classes it knows`;
    at("classes").replaceChildren(...classes.map(name => make("li", {textContent: plain(name)})));
    if (!own) await offerExamples();
  } catch (error) { complain(error.message); }
}

// Images for someone who has none at hand.
async function offerExamples() {
  const {examples} = await ask("v1/examples");
  at("examples").querySelector("ul").replaceChildren(...examples.map(one => {
    const take = async () => {
      const bytes = Uint8Array.from(atob(one.image.split(",")[1]), sign => sign.charCodeAt(0));
      add([new File([bytes], one.path.split("/").pop(), {type: "image/jpeg"})]);
    };
    return make("li", {}, make("button", {type: "button", onclick: take}, make("img", {src: one.image, alt: `example: ${plain(one.label)}`})));
  }));
  at("examples").hidden = !examples.length;
}
introduce();
