// The wall of pictures: lines of equal height that fill the width. All lines are laid out, only
// those near the window are in the document.
"use strict";

const grid = (() => {
  const GAP = 6;
  // Very wide and very tall pictures are cut to these shapes.
  const WIDEST = 2.4;
  const TALLEST = 0.55;
  // What is kept in the document above and below the window, in windows.
  const MARGIN = 0.75;

  let box = null;
  let rows = [];
  let lines = [];
  let lineOf = new Uint32Array(0);
  let tiles = new Map();
  let cursor = -1;
  let open = () => {};

  function build(element, whenOpened) {
    box = element;
    open = whenOpened;
    let asked = false;
    const soon = () => {
      if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); }
    };
    addEventListener("scroll", soon, { passive: true });
    new ResizeObserver(() => { if (box.clientWidth !== box.laidOutFor) relayout(); }).observe(box);
  }

  function shape(row) {
    const { width, height } = labelmill.data;
    if (!width[row] || !height[row]) return 1;
    return Math.min(WIDEST, Math.max(TALLEST, width[row] / height[row]));
  }

  // Places every picture: a line is full when it would be lower than wanted.
  function layout() {
    const full = box.clientWidth;
    const phone = full < 600;
    const wanted = Number(document.getElementById("size").value) * (phone ? 0.66 : 1);
    box.laidOutFor = full;
    lines = [];
    lineOf = new Uint32Array(rows.length);
    let top = 0;
    let first = 0;
    let sum = 0;
    for (let at = 0; at < rows.length; at++) {
      sum += shape(rows[at]);
      const last = at === rows.length - 1;
      const fitting = (full - GAP * (at - first)) / sum;
      if (fitting <= wanted || last) {
        const height = Math.max(1, Math.min(fitting, wanted * (last ? 1 : 1.6)));
        lines.push({ top, height, first, end: at + 1 });
        lineOf.fill(lines.length - 1, first, at + 1);
        top += height + GAP;
        first = at + 1;
        sum = 0;
      }
    }
    box.style.height = `${top}px`;
  }

  function relayout() {
    const hadFocus = box.contains(document.activeElement);
    for (const tile of tiles.values()) tile.remove();
    tiles = new Map();
    layout();
    draw();
    // The tile that had the keyboard's focus was made anew.
    if (hadFocus) tiles.get(cursor)?.focus({ preventScroll: true });
  }

  function lineAt(y) {
    let [low, high] = [0, lines.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lines[middle].top + lines[middle].height < y) low = middle + 1; else high = middle;
    }
    return low;
  }

  function draw() {
    if (!box.offsetParent) return;
    const top = -box.getBoundingClientRect().top;
    const margin = innerHeight * MARGIN;
    const wanted = new Map();
    for (let line = lineAt(top - margin); line < lines.length && lines[line].top < top + innerHeight + margin; line++) {
      let left = 0;
      const { first, end, height, top: y } = lines[line];
      for (let at = first; at < end; at++) {
        const width = shape(rows[at]) * height;
        wanted.set(at, tiles.get(at) || place(at, left, y, width, height));
        left += width + GAP;
      }
    }
    for (const [at, tile] of tiles) if (!wanted.has(at)) tile.remove();
    tiles = wanted;
  }

  function place(at, left, top, width, height) {
    const { data } = labelmill;
    const row = rows[at];
    const path = data.path[row];
    const name = path.slice(path.lastIndexOf("/") + 1);
    const tile = make("button", { type: "button", className: "tile", title: path, "aria-label": path, onclick: () => { cursor = at; open(at); } });
    tile.dataset.at = at;
    tile.dataset.row = row;
    tile.tabIndex = at === Math.max(cursor, 0) ? 0 : -1;
    tile.onfocus = () => { cursor = at; };
    Object.assign(tile.style, { transform: `translate(${left}px, ${top}px)`, width: `${width}px`, height: `${height}px` });
    const failure = data.facets.find((facet) => facet.name === "error_kind");
    const kind = failure && failure.of[row] >= 0 ? failure.names[failure.of[row]] : null;
    if (labelmill.paint(tile, row, width, height)) {
      tile.append(make("span", { className: "caption", textContent: name }));
    } else {
      tile.classList.add("bare");
      if (kind) { tile.classList.add("failed"); tile.append(make("b", { textContent: kind.replaceAll("_", " ") })); }
      tile.append(name);
    }
    box.append(tile);
    return tile;
  }

  // Shows these rows, from the top when they are others than before.
  function show(newRows, keepPlace) {
    rows = newRows;
    if (!keepPlace) { cursor = -1; scrollTo(0, 0); }
    relayout();
  }

  // Moves the cursor by the key, as the eye would.
  function move(key) {
    if (!rows.length) return;
    if (cursor < 0 && key.startsWith("Arrow")) return focus(lines[Math.min(lineAt(-box.getBoundingClientRect().top), lines.length - 1)].first);
    const next = {
      ArrowLeft: () => cursor - 1, ArrowRight: () => cursor + 1, Home: () => 0, End: () => rows.length - 1,
      ArrowUp: () => beside(-1), ArrowDown: () => beside(1),
    }[key]();
    focus(Math.min(rows.length - 1, Math.max(0, next)));
  }

  // The picture above or below whose middle is nearest.
  function beside(step) {
    const line = lineOf[cursor] + step;
    if (line < 0 || line >= lines.length) return cursor;
    const middle = middleOf(cursor);
    let best = lines[line].first;
    for (let at = best; at < lines[line].end; at++) {
      if (Math.abs(middleOf(at) - middle) < Math.abs(middleOf(best) - middle)) best = at;
    }
    return best;
  }

  function middleOf(at) {
    const { first, height } = lines[lineOf[at]];
    let left = 0;
    for (let before = first; before < at; before++) left += shape(rows[before]) * height + GAP;
    return left + shape(rows[at]) * height / 2;
  }

  // Scrolls to a picture and puts the keyboard's focus on it.
  function focus(at) {
    if (!(at in rows)) return;
    cursor = at;
    const { top, height } = lines[lineOf[at]];
    const start = box.getBoundingClientRect().top + scrollY + top;
    const bar = document.getElementById("top").offsetHeight + GAP;
    if (start < scrollY + bar) scrollTo(0, start - bar);
    else if (start + height > scrollY + innerHeight) scrollTo(0, start + height + GAP - innerHeight);
    draw();
    tiles.get(at)?.focus({ preventScroll: true, focusVisible: true });
  }

  return { build, show, relayout, draw, move, focus, get cursor() { return cursor; }, get rows() { return rows; } };
})();
