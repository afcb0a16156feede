const at = id => document.getElementById(id);
const make = (name, text, kind) => {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  if (kind) node.className = kind;
  return node;
};
const svg = (name, values) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(values)) node.setAttribute(key, value);
  return node;
};
const names = data.classes, percent = share => (100 * share).toFixed(1) + " %";

// --- theme: the system's, or the one chosen
const themes = ["system", "light", "dark"];
at("theme").onclick = () => {
  const now = document.documentElement.dataset.theme || "system";
  const next = themes[(themes.indexOf(now) + 1) % 3];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  at("theme").textContent = "Theme: " + next;
};

// --- images
function figure(number, {caption = true} = {}) {
  const [path, label, predicted, confidence, fold, uri] = data.images[number];
  const node = make("figure");
  if (uri) {
    const image = make("img");
    image.src = uri;
    image.alt = names[label] + ": " + path;
    image.title = path + " (fold " + fold + ")";
    image.loading = "lazy";
    node.append(image);
  }
  if (caption) {
    const text = make("figcaption");
    text.append(make("b", names[label]));
    if (label !== predicted) text.append(" taken for ", make("em", names[predicted]));
    text.append(", confidence " + percent(confidence));
    if (!uri) text.append(" (" + path + " cannot be shown)");
    node.append(text);
  }
  return node;
}
at("surest").append(...data.mistakes.map(number => figure(number)));
at("unsure").append(...data.unsure.map(number => figure(number)));
if (!data.mistakes.length) at("surest").append(make("p", "No mistakes."));

const wrong = new Map();  // "label,predicted" -> images
data.images.forEach(([, label, predicted], number) => {
  if (label === predicted) return;
  const key = label + "," + predicted;
  if (!wrong.has(key)) wrong.set(key, []);
  wrong.get(key).push(number);
});
const count = new Map(data.cells.map(([row, column, n]) => [row + "," + column, n]));

function row(numbers) {
  const node = make("div", "", "images small");
  node.append(...numbers.map(number => figure(number, {caption: false})));
  return node;
}

const pairs = document.querySelector(".pairs");
for (const [one, other] of data.pairs) {
  const card = make("div", "", "card"), sides = make("div", "", "sides");
  card.append(make("h3", names[one] + " and " + names[other]));
  for (const [from, to] of [[one, other], [other, one]]) {
    const side = make("div"), key = from + "," + to, found = wrong.get(key) || [];
    side.append(make("p", `${count.get(key) || 0} of ${data.support[from]} ${names[from]} taken for ${names[to]}`));
    side.append(row(found.slice(0, 2)), make("p", "typical " + names[from]), row(data.typical[from]));
    sides.append(side);
  }
  card.append(sides);
  pairs.append(card);
}
if (!data.pairs.length) pairs.append(make("p", "None: every image was right."));

// --- confusion matrix: `view` is the part of it that is shown, in cells
const matrix = at("matrix"), size = names.length, SIDE = 700;
const place = new Map(data.order.map((label, number) => [label, number]));
const longest = Math.max(...names.map(name => name.length));
const ROOM = Math.min(150, 14 + 7 * longest);
let view = {x: 0, y: 0, n: size}, chosen = null, pinned = false;
const cells = data.cells.map(([row, column, n]) => ({row, column, n, y: place.get(row), x: place.get(column)}));
const mistakes = cells.filter(cell => cell.row !== cell.column).sort((a, b) => a.y - b.y || a.x - b.x);

function draw() {
  const cell = (SIDE - ROOM) / view.n, parts = [];
  parts.push(svg("rect", {class: "ground", x: ROOM, y: ROOM, width: SIDE - ROOM, height: SIDE - ROOM}));
  const inner = svg("svg", {x: ROOM, y: ROOM, width: SIDE - ROOM, height: SIDE - ROOM});
  if (chosen) {
    const x = (chosen.x - view.x) * cell, y = (chosen.y - view.y) * cell;
    inner.append(svg("rect", {class: "guide", x: 0, y, width: SIDE, height: cell}));
    inner.append(svg("rect", {class: "guide", x, y: 0, width: cell, height: SIDE}));
  }
  for (const one of cells) {
    if (one.x < view.x - 1 || one.y < view.y - 1 || one.x > view.x + view.n || one.y > view.y + view.n) continue;
    const share = one.n / data.support[one.row], hit = one.row === one.column;
    inner.append(svg("rect", {
      class: hit ? "hit" : "miss", x: (one.x - view.x) * cell, y: (one.y - view.y) * cell,
      width: Math.max(cell - (cell > 4 ? .6 : 0), .5), height: Math.max(cell - (cell > 4 ? .6 : 0), .5),
      // the root makes a single mistake among many images visible
      "fill-opacity": hit ? .12 + .6 * share : Math.min(1, .3 + .9 * Math.sqrt(share)),
    }));
    if (cell > 22) {
      const text = svg("text", {x: (one.x - view.x + .5) * cell, y: (one.y - view.y + .5) * cell + 4, "text-anchor": "middle"});
      text.textContent = one.n;
      inner.append(text);
    }
  }
  if (chosen) {
    inner.append(svg("rect", {
      class: "mark", x: (chosen.x - view.x) * cell, y: (chosen.y - view.y) * cell, width: cell, height: cell,
    }));
  }
  parts.push(inner);
  const every = Math.max(1, Math.ceil(9 / cell)), font = Math.min(12, Math.max(8, cell * .85));
  for (let number = Math.ceil(view.x); number < Math.min(size, view.x + view.n); number += every) {
    const x = ROOM + (number - view.x + .5) * cell + font / 3;
    const text = svg("text", {x, y: ROOM - 4, transform: `rotate(-90 ${x} ${ROOM - 4})`, style: `font-size:${font}px`});
    text.textContent = short(names[data.order[number]], font);
    parts.push(text);
  }
  for (let number = Math.ceil(view.y); number < Math.min(size, view.y + view.n); number += every) {
    const text = svg("text", {x: ROOM - 4, y: ROOM + (number - view.y + .5) * cell + font / 3, "text-anchor": "end", style: `font-size:${font}px`});
    text.textContent = short(names[data.order[number]], font);
    parts.push(text);
  }
  matrix.replaceChildren(...parts);
}

function short(name, font) {
  const most = Math.floor((ROOM - 8) / (.6 * font));
  return name.length <= most ? name : name.slice(0, most - 1) + "…";
}

function choose(x, y) {
  if (chosen && chosen.x === x && chosen.y === y) return;
  chosen = {x, y};
  tell();
  draw();
}

function tell() {
  const box = at("cell");
  if (!chosen) { box.replaceChildren(make("p", "Point at a cell to see its images.", "lead")); return; }
  const from = data.order[chosen.y], to = data.order[chosen.x], key = from + "," + to, n = count.get(key) || 0;
  const share = `${n} of ${data.support[from]} (${percent(data.support[from] ? n / data.support[from] : 0)})`;
  if (from === to) {
    box.replaceChildren(make("h3", names[from]), make("p", share + " right", "lead"), row(data.typical[from]));
    return;
  }
  box.replaceChildren(make("h3", names[from] + " taken for " + names[to]), make("p", share, "lead"));
  if (n) box.append(row((wrong.get(key) || []).slice(0, 9)));
  for (const label of [from, to]) box.append(make("p", "typical " + names[label], "note"), row(data.typical[label]));
}

function zoom(factor, x = view.x + view.n / 2, y = view.y + view.n / 2) {
  const n = Math.min(size, Math.max(Math.min(6, size), Math.round(view.n * factor)));
  const share = n / view.n;
  view = {n, x: x - (x - view.x) * share, y: y - (y - view.y) * share};
  keepInside();
  draw();
}

function keepInside() {
  view.x = Math.round(Math.min(Math.max(view.x, 0), size - view.n));
  view.y = Math.round(Math.min(Math.max(view.y, 0), size - view.n));
}

function spot(event) {
  const box = matrix.getBoundingClientRect(), scale = SIDE / box.width, cell = (SIDE - ROOM) / view.n;
  const x = view.x + ((event.clientX - box.left) * scale - ROOM) / cell;
  const y = view.y + ((event.clientY - box.top) * scale - ROOM) / cell;
  return x < view.x || y < view.y || x >= view.x + view.n || y >= view.y + view.n ? null : {x, y};
}

let grip = null, moved = false;
matrix.addEventListener("pointerdown", event => {
  const found = spot(event);
  if (found) { grip = {...found}; moved = false; }
});
addEventListener("pointerup", () => { grip = null; });
matrix.addEventListener("pointermove", event => {
  const found = spot(event);
  if (!found) return;
  if (grip && view.n < size && event.buttons) {
    if (Math.abs(found.x - grip.x) + Math.abs(found.y - grip.y) >= 1) {
      view.x += grip.x - found.x;
      view.y += grip.y - found.y;
      keepInside();
      moved = true;
      draw();
    }
  } else if (!pinned) choose(Math.floor(found.x), Math.floor(found.y));
});
matrix.addEventListener("click", event => {
  const found = spot(event);
  if (!found || moved) return;
  pinned = !(pinned && chosen && chosen.x === Math.floor(found.x) && chosen.y === Math.floor(found.y));
  choose(Math.floor(found.x), Math.floor(found.y));
});
matrix.addEventListener("dblclick", event => { const found = spot(event); if (found) zoom(.5, found.x, found.y); });
matrix.addEventListener("wheel", event => {
  if (!event.ctrlKey && !event.metaKey) return;  // the page scrolls as pages do
  event.preventDefault();
  const found = spot(event);
  if (found) zoom(event.deltaY < 0 ? .8 : 1.25, found.x, found.y);
}, {passive: false});

function show(x, y) {  // bring a cell into view
  if (x < view.x || y < view.y || x >= view.x + view.n || y >= view.y + view.n) {
    view.x = x - view.n / 2;
    view.y = y - view.n / 2;
    keepInside();
  }
}

matrix.addEventListener("keydown", event => {
  const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};
  if (event.key === "+" || event.key === "=") zoom(.5, ...(chosen ? [chosen.x + .5, chosen.y + .5] : []));
  else if (event.key === "-") zoom(2);
  else if (event.key in steps && mistakes.length) {
    const now = chosen ? mistakes.findIndex(cell => cell.x === chosen.x && cell.y === chosen.y) : -1;
    const next = mistakes[(now + steps[event.key] + mistakes.length) % mistakes.length];
    pinned = true;
    show(next.x, next.y);
    choose(next.x, next.y);
  } else return;
  event.preventDefault();
});
at("in").onclick = () => zoom(.5, ...(chosen && pinned ? [chosen.x + .5, chosen.y + .5] : []));
at("out").onclick = () => zoom(2);
at("whole").onclick = () => zoom(size);
at("names").append(...names.map(name => { const option = make("option"); option.value = name; return option; }));
at("find").addEventListener("change", event => {
  const number = names.indexOf(event.target.value);
  if (number < 0) return;
  const spotted = place.get(number);
  pinned = true;
  zoom(Math.min(12, size) / view.n, spotted, spotted);
  show(spotted, spotted);
  choose(spotted, spotted);
});
const first = mistakes.reduce((best, cell) => !best || cell.n > best.n ? cell : best, null);
if (first) choose(first.x, first.y); else { tell(); draw(); }

// --- class table
const table = document.querySelector("#classes table"), body = table.tBodies[0];
table.querySelectorAll("th button").forEach((button, column) => {
  button.onclick = () => {
    const head = button.parentElement, rising = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = line => line.cells[column].dataset.v, numeric = column >= 1 && column <= 4;
    const compare = numeric
      ? (a, b) => Number(value(a)) - Number(value(b))
      : (a, b) => value(a).localeCompare(value(b), undefined, {numeric: true});
    body.append(...[...body.rows].sort((a, b) => rising ? compare(a, b) : compare(b, a)));
  };
});
at("filter").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const line of body.rows) line.hidden = !line.textContent.toLowerCase().includes(wanted);
});
