"use strict";
// Shared by all pages. Each part works alone: what a page lacks is skipped.
const base = (() => {
  const at = id => document.getElementById(id);
  const make = (name, text, kind) => {
    const node = document.createElement(name);
    if (text) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };

  // Theme: the system's, or the one chosen, which the browser keeps where it may.
  const KEY = "bestiary-theme", themes = ["system", "light", "dark"], root = document.documentElement;
  const keep = value => { try { localStorage.setItem(KEY, value); } catch { /* a file may not be allowed to */ } };
  const kept = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const wear = theme => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme; else delete root.dataset.theme;
    if (at("theme")) at("theme").textContent = "Theme: " + (root.dataset.theme || "system");
  };
  wear(kept());
  if (at("theme")) at("theme").onclick = () => {
    const now = root.dataset.theme || "system", dark = matchMedia("(prefers-color-scheme: dark)").matches;
    // The first press is always seen.
    const next = now === "system" ? (dark ? "light" : "dark") : now === (dark ? "light" : "dark") ? (dark ? "dark" : "light") : "system";
    keep(next);
    wear(next);
  };

  if (at("print")) at("print").onclick = () => print();

  // Folded parts are open on paper, and as they were afterwards.
  addEventListener("beforeprint", () => document.querySelectorAll("details.print:not([open])").forEach(part => { part.open = true; part.dataset.opened = ""; }));
  addEventListener("afterprint", () => document.querySelectorAll("details[data-opened]").forEach(part => { part.open = false; delete part.dataset.opened; }));

  // Section bar: the section in view is marked, and its link is scrolled into the bar.
  const bar = document.querySelector("nav.bar");
  if (bar) {
    const links = new Map([...bar.querySelectorAll("a")].map(link => [link.hash.slice(1), link]));
    const mark = () => {
      let current = null;
      for (const [id, link] of links) {
        const section = at(id);
        if (section && section.getBoundingClientRect().top < innerHeight * .35) current = link;
      }
      if (innerHeight + scrollY >= document.documentElement.scrollHeight - 4 && scrollY > 0) current = [...links.values()].at(-1);
      for (const link of links.values()) {
        if (link === current) {
          if (link.hasAttribute("aria-current")) continue;
          link.setAttribute("aria-current", "true");
          const row = link.parentElement;
          row.scrollTo({left: link.offsetLeft - row.clientWidth / 2 + link.offsetWidth / 2});
        } else link.removeAttribute("aria-current");
      }
    };
    let due = false;
    const soon = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; mark(); }); } };
    addEventListener("scroll", soon, {passive: true});
    addEventListener("resize", soon);
    mark();
  }

  // Copy: of a text, with a word of success on the button.
  async function copy(text, button) {
    const before = button.textContent;
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch {
      const area = make("textarea", "");
      area.value = text;
      area.style.cssText = "position:fixed;opacity:0";
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "Copied" : "Select and copy by hand";
    setTimeout(() => { button.textContent = before; }, 1500);
  }
  document.querySelectorAll("button[data-copy]").forEach(button => {
    button.onclick = () => copy(at(button.dataset.copy).textContent, button);
  });
  document.querySelectorAll("button[data-dialog]").forEach(button => {
    button.onclick = () => at(button.dataset.dialog).showModal();
  });

  // Save a text or a blob as a file.
  function save(name, content, type) {
    const link = make("a"), url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
    link.href = url;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  // A table as text; what a spreadsheet would run as a formula gets an apostrophe.
  function field(value) {
    const plain = String(value ?? ""), text = /^'*[=@\t\r+-]/.test(plain) && !/^[+-][\d.]+(e[+-]?\d+)?$/.test(plain) ? "'" + plain : plain;
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }
  const csv = table => table.map(values => values.map(field).join(",") + "\n").join("");

  // Charts to take away: as drawn on white, whatever the theme.
  function alone(svg) {
    const copied = svg.cloneNode(true), [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const dark = root.dataset.theme;
    root.dataset.theme = "light";
    const style = getComputedStyle(root), probe = make("i");
    document.body.append(probe);
    const value = name => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    let text = new XMLSerializer().serializeToString(copied).replace(/var\((--[\w-]+)\)/g, (_, name) => value(name)).replace(/currentColor/g, value("--ink"));
    probe.remove();
    if (dark) root.dataset.theme = dark; else delete root.dataset.theme;
    text = text.replace(/^<svg/, `<svg width="${width}" height="${height}" style="background:#fff"`);
    return {text, width, height};
  }
  async function png(name, svg) {
    const {text, width, height} = alone(svg), image = new Image(), canvas = make("canvas");
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
    await image.decode();
    canvas.width = 2 * width;
    canvas.height = 2 * height;
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(blob => save(name, blob), "image/png");
  }
  document.querySelectorAll(".chart").forEach(chart => {
    const svg = chart.querySelector("svg"), name = chart.dataset.name || "chart";
    chart.querySelectorAll(".take button").forEach(button => {
      button.onclick = () => {
        if (button.dataset.as === "svg") save(name + ".svg", alone(svg).text, "image/svg+xml");
        else if (button.dataset.as === "png") png(name + ".png", svg);
        else save(name + ".csv", chart.dataset.csv, "text/csv");
      };
    });
  });

  // Sortable tables: th > button, td[data-v] or its text.
  document.querySelectorAll("table.sortable").forEach(table => {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (button) button.onclick = () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const value = line => line.cells[column].dataset.v ?? line.cells[column].textContent.trim();
        const compare = head.classList.contains("number")
          ? (a, b) => Number(value(a)) - Number(value(b))
          : (a, b) => value(a).localeCompare(value(b), undefined, {numeric: true});
        body.append(...[...body.rows].sort((a, b) => rising ? compare(a, b) : compare(b, a)));
      };
    });
  });
  document.querySelectorAll("input[data-filter]").forEach(input => {
    const table = at(input.dataset.filter), none = at(input.dataset.none);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let shown = 0;
      for (const line of table.tBodies[0].rows) {
        line.hidden = !line.textContent.toLowerCase().includes(wanted);
        shown += !line.hidden;
      }
      if (none) none.hidden = shown > 0;
    });
  });
  return {at, make, copy, csv, save};
})();
