// The numbers behind the wall: what the filters leave, as figures and plots (inline SVG).
"use strict";

const overview = (() => {
  const NAMES = 12;
  const TAGS = 24;
  const LINE = 25;
  const BINS = 20;
  let box = null;
  let leave = () => {};

  function build(element, whenLeft) {
    box = element;
    leave = whenLeft;
  }

  function svg(name, attributes, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function show(rows) {
    const { data } = labelmill;
    const failed = facet("error_kind");
    const prompts = rows.filter((row) => named("metadata_status", row) === "prompt").length;
    const figures = [
      ["Images", rows.length], ["Failed", failed ? rows.filter((row) => failed.of[row] >= 0).length : 0],
      ["With a recovered prompt", prompts], ["Models", data.summary.models.length],
    ];
    const list = make("dl", { className: "figures" }, ...figures.map(([name, number]) => make("div", {},
      make("dt", { textContent: name }), make("dd", { textContent: count(number) }))));
    const plots = data.facets
      .filter(({ name }) => !["error_kind", "root"].includes(name))
      .map((one) => namesPlot(one, rows));
    const order = ["generator", "style", "rating"];
    plots.sort((one, other) => rank(order, one) - rank(order, other));
    const cards = [...plots, tagsPlot(rows), ...data.scores.map((score) => histogram(score, rows))].filter(Boolean);
    const board = make("div", { className: "plots" }, ...cards.map((card) => card.element));
    box.replaceChildren(list, failures() || "", board, about());
    for (const card of cards) card.draw(card.element.clientWidth - 36);
  }

  const rank = (order, plot) => (plot && order.includes(plot.name) ? order.indexOf(plot.name) : order.length);
  const facet = (name) => labelmill.data.facets.find((one) => one.name === name);

  function named(name, row) {
    const found = facet(name);
    return found && found.of[row] >= 0 ? found.names[found.of[row]] : null;
  }

  function card(name, words, note) {
    const picture = svg("svg", { role: "img", "aria-label": words });
    const element = make("section", { className: "plot" }, make("h2", {}, words, note ? make("small", { textContent: `  ${note}` }) : ""), picture);
    element.dataset.plot = name;
    return { name, element, picture };
  }

  // Horizontal bars, one a name; a name filters by itself.
  function bars(made, entries, pick) {
    const most = Math.max(1, ...entries.map((entry) => entry[1]));
    made.draw = (width) => {
      const [label, number] = [width * 0.42, 58];
      const room = width - label - number;
      made.picture.setAttribute("height", entries.length * LINE);
      made.picture.replaceChildren(...entries.map(([name, amount, value], at) => {
        const y = at * LINE;
        const letters = Math.max(6, Math.floor(label / 8));
        const short = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
        const line = svg("g", { class: "pick", tabindex: "0", role: "button", "aria-label": `${name}: ${amount}` },
          svg("title", {}, `${name}: ${count(amount)}`),
          svg("rect", { x: 0, y, width, height: LINE, fill: "transparent" }),
          svg("text", { x: 0, y: y + 17 }, short),
          svg("rect", { class: "ground", x: label, y: y + 8, width: room, height: 9, rx: 4.5 }),
          svg("rect", { class: "amount", x: label, y: y + 8, width: Math.max(3, room * amount / most), height: 9, rx: 4.5 }),
          svg("text", { class: "number", x: width, y: y + 17 }, count(amount)));
        line.onclick = () => { pick(value); leave(); };
        line.onkeydown = (event) => { if (event.key === "Enter") { event.stopPropagation(); line.onclick(); } };
        return line;
      }));
    };
    return made;
  }

  function namesPlot(one, rows) {
    const numbers = new Map();
    for (const row of rows) numbers.set(one.of[row], (numbers.get(one.of[row]) || 0) + 1);
    const entries = [...numbers].filter(([value]) => value >= 0).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    if (!entries.length) return null;
    const unknown = numbers.get(-1) || 0;
    const notes = [
      entries.length > NAMES && `${NAMES} of ${count(entries.length)}`, unknown > 0 && `${count(unknown)} without`,
    ].filter(Boolean).join(", ");
    return bars(card(one.name, title(one.name), notes),
      entries.slice(0, NAMES).map(([value, number]) => [valueName(one, value), number, value]), (value) => filters.only(one.name, value));
  }

  function tagsPlot(rows) {
    const { tags } = labelmill.data;
    const least = filters.state.tagPercent;
    const numbers = new Uint32Array(tags.names.length);
    for (const row of rows) {
      for (let at = tags.from[row]; at < tags.from[row + 1]; at++) if (tags.percent[at] >= least) numbers[tags.of[at]]++;
    }
    const order = [...numbers.keys()].filter((tag) => numbers[tag]).sort((a, b) => numbers[b] - numbers[a] || a - b);
    if (!order.length) return null;
    return bars(card("tags", "Tags", `with a score of ${(least / 100).toFixed(2)} or more`),
      order.slice(0, TAGS).map((tag) => [tags.names[tag], numbers[tag], tag]), (tag) => filters.addTag(tag));
  }

  function histogram(score, rows) {
    const values = rows.map((row) => score.of[row]).filter((value) => !Number.isNaN(value));
    if (!values.length) return null;
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
    // Scores of 0 to 1 are drawn on their whole scale.
    if (low >= 0 && high <= 1) [low, high] = [0, 1];
    if (low === high) high = low + 1;
    const bins = new Array(BINS).fill(0);
    for (const value of values) bins[Math.min(BINS - 1, Math.floor((value - low) / (high - low) * BINS))]++;
    const most = Math.max(...bins);
    const made = card(score.name, title(score.name), `${count(values.length)} images`);
    made.draw = (width) => {
      const [height, step] = [120, width / BINS];
      const tick = (value) => String(Math.round(value * 100) / 100);
      made.picture.setAttribute("height", height + 22);
      made.picture.replaceChildren(
        ...bins.map((number, at) => svg("rect", {
          class: "amount", x: at * step + 1, width: step - 2, rx: 2, y: height - height * number / most, height: height * number / most,
        }, svg("title", {}, `${tick(low + at * (high - low) / BINS)} to ${tick(low + (at + 1) * (high - low) / BINS)}: ${count(number)}`))),
        svg("line", { x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }),
        svg("text", { class: "tick", x: 0, y: height + 18 }, tick(low)),
        svg("text", { class: "tick", x: width / 2, y: height + 18, "text-anchor": "middle" }, tick((low + high) / 2)),
        svg("text", { class: "tick", x: width, y: height + 18, "text-anchor": "end" }, tick(high)));
    };
    return made;
  }

  // Of the whole dataset: a failure is worth knowing whatever is filtered.
  function failures() {
    const found = labelmill.data.summary.table.failures;
    if (!found.length) return null;
    const lines = found.map(([kind, number, examples]) => make("li", {},
      make("b", { textContent: kind.replaceAll("_", " ") }), ` ${count(number)}`,
      ...examples.map(([row, message]) => make("small", {}, make("button", {
        type: "button", textContent: labelmill.data.path[row],
        onclick: () => { filters.clear(); leave(); detail.open(grid.rows.indexOf(row)); },
      }), message ? `: ${message}` : ""))));
    return make("section", { className: "plot failures" }, make("h2", {}, "Failures"), make("ul", {}, ...lines));
  }

  function about() {
    const { summary } = labelmill.data;
    const left = summary.rows_in_dataset - summary.rows;
    return make("p", { className: "about" },
      `labelmill ${summary.version}, page made ${summary.made_at} from ${summary.dataset}`,
      summary.models.length ? `; models: ${summary.models.join(", ")}` : "",
      left > 0 ? `; the last ${count(left)} of its ${count(summary.rows_in_dataset)} rows are not on this page` : "", ".");
  }

  return { build, show };
})();
