const {at, make} = base;
const svg = (name, values) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(values)) node.setAttribute(key, value);
  return node;
};
const names = data.classes.map(name => name.replace(/_/g, " ").trim() || "(no name)");
const percent = share => share > .9995 && share < 1 ? ">\u00a099.9\u00a0%" : (100 * share).toFixed(1) + "\u00a0%";

// --- images: by their number; those that stand in the page are taken from there
const inPage = new Map();
document.querySelectorAll("[data-image] img").forEach(image => {
  const number = Number(image.parentElement.dataset.image);
  // The largest copy: examples are larger than samples.
  if (!inPage.has(number) || image.closest(".grid")) inPage.set(number, image);
});
const uri = number => data.images[number][6] || inPage.get(number)?.src || "";
const wrong = new Map();  // "label,answer" -> images
data.images.forEach(([, label, answer], number) => {
  if (label === answer) return;
  const key = label + "," + answer;
  if (!wrong.has(key)) wrong.set(key, []);
  wrong.get(key).push(number);
});
const count = new Map(data.cells.map(([row, column, n]) => [row + "," + column, n]));

function figure(number, caption = false) {
  const [path, label, answer, confidence] = data.images[number], node = make("figure");
  if (uri(number)) {
    const button = make("button", "", "open"), image = make("img");
    button.type = "button";
    button.dataset.image = number;
    image.src = uri(number);
    image.alt = names[label] + ": " + path;
    image.loading = "lazy";
    button.append(image);
    node.append(button);
  } else node.append(make("span", path + " cannot be shown", "note"));
  if (caption) {
    const text = make("figcaption");
    text.append(make("span", percent(confidence), "sure"), make("b", names[label]));
    if (label !== answer) text.append(make("br"), make("em", "\u2192 " + names[answer]));
    node.append(text);
  }
  return node;
}
function row(numbers, caption = false) {
  const node = make("div", "", "images");
  node.append(...numbers.map(number => figure(number, caption)));
  return node;
}

// --- an image, large: its path, its fold, its best answers; arrow keys go through its neighbors
const large = at("large");
let around = [], here = 0;
function enlarge(numbers, index) {
  around = numbers;
  here = (index + numbers.length) % numbers.length;
  const number = around[here], [path, label, answer, , fold, top] = data.images[number];
  const head = make("div", "", "row"), close = make("button", "Close"), before = make("button", "\u2190"), after = make("button", "\u2192");
  const title = make("h2", names[label] + (label === answer ? "" : " \u2192 " + names[answer]));
  before.setAttribute("aria-label", "previous image");
  after.setAttribute("aria-label", "next image");
  before.onclick = () => enlarge(around, here - 1);
  after.onclick = () => enlarge(around, here + 1);
  close.onclick = () => large.close();
  const keys = make("div", "", "tools");
  keys.append(before, make("span", `${here + 1} of ${around.length}`, "note"), after, close);
  head.append(title, keys);
  const image = make("img", "", "whole"), tops = make("div", "", "tops"), where = make("p", "", "note");
  image.src = uri(number);
  image.alt = names[label] + ": " + path;
  for (const [one, share] of top) {
    tops.append(make("span", names[one] + (one === label ? " (its label)" : ""), one === label ? "own" : ""), make("span", percent(share)));
  }
  const copy = make("button", "Copy path", "plain");
  copy.onclick = () => base.copy(path, copy);
  where.append(make("code", path), ` \u00b7 judged by the member of fold ${fold}, which had not seen it `, copy);
  large.replaceChildren(head, image, tops, where);
  if (!large.open) large.showModal();
  close.focus();
}
large.addEventListener("keydown", event => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (step) { event.preventDefault(); enlarge(around, here + step); }
});
large.addEventListener("click", event => { if (event.target === large) large.close(); });
document.addEventListener("click", event => {
  const button = event.target.closest("button.open");
  if (!button) return;
  const set = button.closest(".grid, .images, .members, .sheet, #picked") || button.parentElement;
  const buttons = [...set.querySelectorAll("button.open")];
  enlarge(buttons.map(one => Number(one.dataset.image)), buttons.indexOf(button));
});

// --- a group of look-alikes: all its mistakes, one after the other
document.querySelectorAll("button[data-group]").forEach(button => {
  const members = button.dataset.group.split(",").map(Number), found = [];
  for (const one of members) for (const other of members) found.push(...(wrong.get(one + "," + other) || []));
  if (found.length) button.onclick = () => enlarge(found, 0); else button.hidden = true;
});

// --- confusion matrix: `view` is the part of it that is shown, in cells
const matrix = at("matrix"), size = names.length, SIDE = 700;
const place = new Map(data.order.map((label, number) => [label, number]));
// Names are measured as they are drawn: capitals and Chinese are wider than small letters.
const ruler = svg("text", {visibility: "hidden"});
matrix.append(ruler);
const measured = new Map();
function long(name) {
  if (!measured.has(name)) { ruler.textContent = name; measured.set(name, ruler.getComputedTextLength() || 7 * name.length); }
  return measured.get(name);  // at 11 px
}
let ROOM = 150;
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
  const scale = SIDE / (matrix.getBoundingClientRect().width || SIDE), least = 9 * scale;  // 9 px on any screen
  const font = Math.min(Math.max(12, least), Math.max(least, cell * .85)), every = Math.max(1, Math.ceil(font / cell));
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
  matrix.replaceChildren(ruler, ...parts);
}

function short(name, font) {
  const room = (ROOM - 10) * 11 / font;
  if (long(name) <= room) return name;
  let most = Math.floor(name.length * room / long(name));
  while (most > 1 && long(name.slice(0, most) + "\u2026") > room) most--;
  return name.slice(0, most).trimEnd() + "\u2026";
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
  for (const label of [from, to]) box.append(make("p", "confidently right: " + names[label], "note"), row(data.typical[label]));
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
function begin() {  // text has a length only where it is shown
  if (!matrix.getBoundingClientRect().width) return;
  measured.clear();
  ROOM = Math.min(160, 16 + Math.max(...names.map(long)));
  if (first && !chosen) choose(first.x, first.y); else { tell(); draw(); }
}
begin();
at("matrix-part").addEventListener("toggle", begin);
addEventListener("resize", begin);

// --- the map: drag over an area, or choose a class, to list its images
const frame = at("map-frame");
if (frame) {
  const drawing = frame.querySelector("svg"), picked = at("picked"), choice = at("map-class"), MOST = 60;
  const box = svg("rect", {id: "brush", width: 0, height: 0});
  // A thumbnail in the middle of each class tells what lies there.
  const seen = new Map();
  for (const [x, y, label, answer] of data.map) if (label === answer) (seen.get(label) || seen.set(label, []).get(label)).push([x, y]);
  if (seen.size > 45) for (const [label, places] of seen) {
    const number = (data.typical[label] || [])[0];
    if (number === undefined || !uri(number)) continue;
    const middle = n => places.map(place => place[n]).sort((a, b) => a - b)[places.length >> 1];
    drawing.append(svg("image", {href: uri(number), x: middle(0) - 13, y: middle(1) - 13, width: 26, height: 26}));
  }
  drawing.append(box);
  const list = (title, chosen) => {
    const images = chosen.map(one => one[4]).filter(image => typeof image === "number"), paths = chosen.map(one => one[4]).filter(image => typeof image === "string");
    const misses = chosen.filter(one => one[2] !== one[3]).length;
    const tell = make("h3", `${title}: ${chosen.length} image${chosen.length === 1 ? "" : "s"}, ${misses} wrong`);
    picked.replaceChildren(tell, row(images.slice(0, MOST), true));
    if (paths.length || images.length > MOST) {
      const rest = make("ul");
      rest.append(...paths.slice(0, 300).map(path => make("li", path)));
      picked.append(rest);
      if (paths.length > 300) picked.append(make("p", `and ${paths.length - 300} more`, "note"));
    }
    picked.hidden = false;
    at("map-clear").hidden = false;
  };
  const spotOf = event => {
    const area = drawing.getBoundingClientRect(), [, , width, height] = drawing.getAttribute("viewBox").split(" ").map(Number);
    return [(event.clientX - area.left) * width / area.width, (event.clientY - area.top) * height / area.height];
  };
  let from = null;
  drawing.addEventListener("pointerdown", event => { from = spotOf(event); drawing.setPointerCapture(event.pointerId); event.preventDefault(); });
  drawing.addEventListener("pointermove", event => {
    if (!from) return;
    const to = spotOf(event);
    for (const [name, value] of Object.entries({x: Math.min(from[0], to[0]), y: Math.min(from[1], to[1]), width: Math.abs(to[0] - from[0]), height: Math.abs(to[1] - from[1])})) box.setAttribute(name, value);
  });
  drawing.addEventListener("pointerup", event => {
    if (!from) return;
    const to = spotOf(event), [left, right] = [from[0], to[0]].sort((a, b) => a - b), [top, bottom] = [from[1], to[1]].sort((a, b) => a - b);
    from = null;
    const slack = right - left < 4 ? 8 : 0;  // a click takes what is near
    list("Here", data.map.filter(([x, y]) => x >= left - slack && x <= right + slack && y >= top - slack && y <= bottom + slack));
  });
  names.map((name, number) => [name, number]).sort((a, b) => a[0].localeCompare(b[0])).forEach(([name, number]) => {
    const option = make("option", name);
    option.value = number;
    choice.append(option);
  });
  choice.onchange = () => { if (choice.value) list(names[choice.value], data.map.filter(one => one[2] === Number(choice.value) || one[3] === Number(choice.value))); };
  at("map-clear").onclick = () => { picked.hidden = at("map-clear").hidden = true; choice.value = ""; box.setAttribute("width", 0); };
}
