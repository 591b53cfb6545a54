// The rows, as the data files bring them: columns of numbers for everything at once, texts for the
// search, details of 200 rows when one of them is opened. A page from file:// may not fetch, so a
// data file is a script that calls labelmill.KIND(number, data).
"use strict";

const labelmill = (() => {
  const waiting = new Map();
  const started = new Map();
  let data = null;

  // Loads data/KIND-NUMBER.js once.
  function load(kind, number) {
    const name = `${kind}-${number}`;
    if (!started.has(name)) {
      started.set(name, new Promise((resolve, reject) => {
        waiting.set(name, resolve);
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => script.remove();
        script.onerror = () => { started.delete(name); reject(new Error(`${name}.js cannot be read`)); };
        document.head.append(script);
      }));
    }
    return started.get(name);
  }

  function arrived(kind, number, value) {
    const resolve = waiting.get(`${kind}-${number}`);
    waiting.delete(`${kind}-${number}`);
    if (resolve) resolve(value);
  }

  // Makes room for every row.
  function begin(summary) {
    const rows = summary.rows;
    data = {
      summary, rows,
      loaded: 0, texts: 0,
      path: new Array(rows).fill(""), text: new Array(rows).fill(""),
      width: new Uint32Array(rows), height: new Uint32Array(rows),
      facets: summary.table.facets.map(([name, names]) => ({ name, names, of: new Int32Array(rows).fill(-1) })),
      scores: summary.table.scores.map((name) => ({ name, of: new Float32Array(rows).fill(NaN) })),
      tags: { names: summary.table.tags, from: new Uint32Array(rows + 1), of: [], percent: [] },
    };
    return data;
  }

  function takeTable(number, chunk) {
    const first = number * data.summary.chunk_rows;
    const count = chunk.path.length;
    for (let row = 0; row < count; row++) data.path[first + row] = chunk.path[row];
    data.width.set(chunk.width, first);
    data.height.set(chunk.height, first);
    for (const facet of data.facets) facet.of.set(chunk[facet.name], first);
    for (const score of data.scores) {
      const values = chunk[score.name];
      for (let row = 0; row < count; row++) if (values[row] !== null) score.of[first + row] = values[row];
    }
    const tags = chunk.tags || { lengths: new Array(count).fill(0), names: [], percent: [] };
    let at = data.tags.of.length;
    for (let row = 0; row < count; row++) {
      data.tags.from[first + row] = at;
      at += tags.lengths[row];
    }
    for (const name of tags.names) data.tags.of.push(name);
    for (const percent of tags.percent) data.tags.percent.push(percent);
    data.loaded = first + count;
    data.tags.from[data.loaded] = at;
  }

  function takeTexts(number, texts) {
    const first = number * data.summary.chunk_rows;
    texts.forEach((text, row) => { data.text[first + row] = text.toLowerCase(); });
    data.texts = first + texts.length;
  }

  // Loads everything the grid needs, in order, then the texts; tells `progress` after each chunk.
  async function loadAll(progress) {
    const chunks = [...Array(data.summary.chunks).keys()];
    chunks.slice(0, 4).forEach((number) => load("table", number));
    for (const number of chunks) {
      if (number + 4 < chunks.length) load("table", number + 4);
      takeTable(number, await load("table", number));
      progress();
    }
    for (const number of chunks) {
      takeTexts(number, await load("text", number));
      started.delete(`text-${number}`);
    }
    progress();
  }

  async function detailOf(row) {
    const size = data.summary.detail_rows;
    const block = await load("detail", Math.floor(row / size));
    return block[row % size];
  }

  // Where a row's thumbnail is: the sheet's file and the part of it, in pixels of the sheet.
  function thumbnail(row) {
    const { pixels, cells_a_side: side, sheets, filled } = data.summary.thumbnails;
    const cells = side * side;
    const sheet = Math.floor(row / cells);
    const cell = row % cells;
    const [width, height] = [data.width[row], data.height[row]];
    if (!sheets[sheet] || !(filled[sheet] >> cell & 1) || !width || !height) return null;
    const long = Math.max(width, height);
    const inner = (length) => Math.max(2, Math.floor(length * pixels / long));
    const gap = (length) => Math.floor(pixels / 2) - Math.floor(inner(length) / 2);
    return {
      url: `thumbnails/${sheets[sheet]}.jpg`,
      sheet: pixels * side,
      left: (cell % side) * pixels + gap(width), top: Math.floor(cell / side) * pixels + gap(height),
      width: inner(width), height: inner(height),
    };
  }

  // Paints a thumbnail so that it covers `width` x `height`, or false where there is none.
  function paint(element, row, width, height) {
    const place = thumbnail(row);
    if (!place) return false;
    // A pixel to spare keeps the neighbours on the sheet out of rounded edges.
    const scale = Math.max(width / (place.width - 1), height / (place.height - 1));
    const left = place.left * scale + (place.width * scale - width) / 2;
    const top = place.top * scale + (place.height * scale - height) / 2;
    element.style.backgroundImage = `url("${place.url}")`;
    element.style.backgroundSize = `${place.sheet * scale}px`;
    element.style.backgroundPosition = `${-left}px ${-top}px`;
    return true;
  }

  return {
    begin, loadAll, detailOf, paint, thumbnail,
    get data() { return data; },
    table: (number, value) => arrived("table", number, value),
    text: (number, value) => arrived("text", number, value),
    detail: (number, value) => arrived("detail", number, value),
  };
})();

// An element with properties and children; text is always text, never HTML.
function make(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith("aria-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const count = (number) => number.toLocaleString("en");

// error_kind -> Error kind
function title(name) {
  const known = {
    error_kind: "Failed as", metadata_status: "Metadata", root: "Folder", cfg_scale: "CFG scale", vae: "VAE", clip_skip: "CLIP skip",
  };
  const words = name.replaceAll("_", " ");
  return known[name] || words.charAt(0).toUpperCase() + words.slice(1);
}

// What a missing name means.
function valueName(facet, number) {
  if (number >= 0) return facet.names[number] || "(empty)";
  return facet.name === "error_kind" ? "not failed" : "none";
}
