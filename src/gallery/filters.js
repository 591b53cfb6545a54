// What is searched, filtered and sorted for, the column where it is chosen, and the rows it leaves.
"use strict";

const filters = (() => {
  const state = {
    search: "", facets: new Map(), tags: [], tagPercent: 35, between: new Map(), sort: "dataset",
  };
  // Values shown of a facet before "more".
  const SHOWN = 8;
  const expanded = new Set();
  let changed = () => {};

  // `a "b c" -d` is three terms; all must hold.
  function terms(search) {
    const found = search.toLowerCase().match(/-?"[^"]+"|\S+/g) || [];
    return found.map((term) => {
      const without = term.length > 1 && term.startsWith("-");
      const text = (without ? term.slice(1) : term).replaceAll('"', "");
      return { text, without };
    }).filter((term) => term.text);
  }

  // Whether each name of the tags' dictionary holds the text, blanks and underscores alike.
  function tagsWith(text) {
    const plain = text.replaceAll("_", " ");
    return labelmill.data.tags.names.map((name) => name.toLowerCase().replaceAll("_", " ").includes(plain));
  }

  // The rows that pass, in order, and for each facet how many rows every value would leave.
  function apply() {
    const data = labelmill.data;
    const wanted = terms(state.search).map((term) => ({ ...term, tags: tagsWith(term.text) }));
    const chosen = data.facets.map((facet) => state.facets.get(facet.name));
    const counts = data.facets.map(() => new Map());
    const ranges = data.scores.map((score) => ({ of: score.of, ...state.between.get(score.name) }))
      .filter((range) => range.least !== undefined || range.most !== undefined);
    const rows = [];
    const { from, of, percent } = data.tags;
    const holds = (row, test) => {
      for (let at = from[row]; at < from[row + 1]; at++) if (percent[at] >= state.tagPercent && test(of[at])) return true;
      return false;
    };
    for (let row = 0; row < data.loaded; row++) {
      const passes = wanted.every((term) => term.without !== (
        data.text[row].includes(term.text) || data.path[row].toLowerCase().includes(term.text) || holds(row, (tag) => term.tags[tag])))
        && state.tags.every((tag) => holds(row, (other) => other === tag))
        && ranges.every(({ of: values, least, most }) => values[row] >= (least ?? -Infinity) && values[row] <= (most ?? Infinity));
      if (!passes) continue;
      let misses = 0;
      let missed = -1;
      chosen.forEach((values, index) => {
        if (values && !values.has(data.facets[index].of[row])) { misses++; missed = index; }
      });
      if (misses > 1) continue;
      counts.forEach((values, index) => {
        if (misses && missed !== index) return;
        const value = data.facets[index].of[row];
        values.set(value, (values.get(value) || 0) + 1);
      });
      if (!misses) rows.push(row);
    }
    return { rows: sorted(rows), counts };
  }

  function sorted(rows) {
    const data = labelmill.data;
    const [kind, name] = state.sort.split(":");
    const by = (value) => {
      const keys = new Map(rows.map((row) => [row, value(row)]));
      rows.sort((one, other) => (keys.get(other) - keys.get(one)) || one - other);
    };
    const known = (value, otherwise) => (Number.isNaN(value) ? otherwise : value);
    if (kind === "path") {
      const order = new Intl.Collator("en", { numeric: true });
      rows.sort((one, other) => order.compare(data.path[one], data.path[other]) || one - other);
    } else if (kind === "pixels") {
      by((row) => data.width[row] * data.height[row]);
    } else if (kind === "high" || kind === "low") {
      const values = data.scores.find((score) => score.name === name).of;
      by((row) => (kind === "high" ? known(values[row], -Infinity) : -known(values[row], Infinity)));
    } else if (kind === "tag" && state.tags.length) {
      by((row) => state.tags.reduce((sum, tag) => sum + tagPercent(row, tag), 0));
    }
    return rows;
  }

  function tagPercent(row, tag) {
    const { from, of, percent } = labelmill.data.tags;
    for (let at = from[row]; at < from[row + 1]; at++) if (of[at] === tag) return percent[at];
    return 0;
  }

  function sortChoices() {
    const choices = [["dataset", "Dataset order"], ["path", "Path"], ["pixels", "Most pixels"], ["tag", "Chosen tags"]];
    for (const { name } of labelmill.data.scores) {
      choices.push([`high:${name}`, `${title(name)}, high to low`], [`low:${name}`, `${title(name)}, low to high`]);
    }
    return choices.filter(([value]) => value !== "tag" || labelmill.data.tags.names.length)
      .map(([value, text]) => make("option", { value, textContent: text }));
  }

  function set(change) {
    Object.assign(state, change);
    changed();
  }

  function toggle(facet, value, on) {
    const values = new Set(state.facets.get(facet));
    if (on) values.add(value); else values.delete(value);
    if (values.size) state.facets.set(facet, values); else state.facets.delete(facet);
    changed();
  }

  function only(facet, value) {
    state.facets.set(facet, new Set([value]));
    changed();
  }

  function addTag(tag) {
    if (!state.tags.includes(tag)) state.tags = [...state.tags, tag];
    changed();
  }

  // How many filters are set, the search not counted.
  function active() {
    return [...state.facets.values()].reduce((sum, values) => sum + values.size, 0) + state.tags.length + state.between.size;
  }

  function clear() {
    Object.assign(state, { search: "", facets: new Map(), tags: [], between: new Map() });
    changed();
  }

  // --- the column ---

  let facetBoxes = [];
  let chips = null;
  let clearing = null;

  function build(into, whenChanged) {
    changed = whenChanged;
    facetBoxes = labelmill.data.facets.map(() => make("section"));
    const ranked = ["generator", "style", "rating"];
    const rank = (index) => {
      const at = ranked.indexOf(labelmill.data.facets[index].name);
      return at < 0 ? ranked.length : at;
    };
    const order = [...facetBoxes.keys()].sort((one, other) => rank(one) - rank(other) || other - one);
    clearing = make("button", { type: "button", className: "link", textContent: "Clear all filters", onclick: clear });
    const boxes = order.map((index) => facetBoxes[index]);
    into.replaceChildren(clearing, tagBox(), ...boxes.slice(0, 3), scoreBox(), ...boxes.slice(3));
  }

  function show({ counts }) {
    clearing.hidden = !active() && !state.search;
    labelmill.data.facets.forEach((facet, index) => showFacet(facet, counts[index], facetBoxes[index]));
    if (chips) {
      chips.replaceChildren(...state.tags.map((tag) => make("button", {
        type: "button", className: "chip", textContent: labelmill.data.tags.names[tag],
        title: "Take this tag out", onclick: () => set({ tags: state.tags.filter((other) => other !== tag) }),
      })));
    }
    if (!state.between.size) {
      for (const input of document.querySelectorAll("#filters .between input")) input.value = "";
    }
  }

  function showFacet(facet, counts, box) {
    const chosen = state.facets.get(facet.name) || new Set();
    const values = [...new Set([...counts.keys(), ...chosen])];
    // A column that says the same of every picture is nothing to filter by.
    box.hidden = facet.names.length === 0 || (facet.name === "root" && facet.names.length < 2);
    values.sort((one, other) => (counts.get(other) || 0) - (counts.get(one) || 0) || one - other);
    const shown = expanded.has(facet.name) ? values : values.filter((value, at) => at < SHOWN || chosen.has(value));
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.value : null;
    const choices = shown.map((value) => {
      const input = make("input", { type: "checkbox", checked: chosen.has(value), onchange: (event) => toggle(facet.name, value, event.target.checked) });
      input.dataset.value = value;
      const number = counts.get(value) || 0;
      return make("label", { className: number ? "choice" : "choice empty" }, input,
        make("span", { textContent: valueName(facet, value), title: valueName(facet, value) }),
        make("span", { className: "number", textContent: count(number) }));
    });
    const more = values.length - shown.length;
    box.replaceChildren(make("h2", { textContent: title(facet.name) }), ...choices,
      more > 0 && make("button", {
        type: "button", className: "link", textContent: `${count(more)} more`,
        onclick: () => { expanded.add(facet.name); showFacet(facet, counts, box); },
      }) || "");
    if (focused !== null) box.querySelector(`[data-value="${focused}"]`)?.focus();
  }

  function tagBox() {
    const names = labelmill.data.tags.names;
    chips = make("div", { className: "chips" });
    if (!names.length) return "";
    const list = make("div", { className: "suggestions", hidden: true });
    const input = make("input", {
      className: "field", id: "tag", type: "text", placeholder: "Add a tag", autocomplete: "off", spellcheck: false, "aria-label": "Add a tag",
    });
    const take = (tag) => { input.value = ""; list.hidden = true; addTag(tag); };
    const suggest = () => {
      const typed = input.value.toLowerCase().replaceAll("_", " ").trim();
      const found = typed ? suggestions(typed) : [];
      list.hidden = !found.length;
      list.replaceChildren(...found.map(([tag, number]) => make("button", { type: "button", onclick: () => take(tag) },
        make("span", { textContent: names[tag] }), make("span", { className: "number", textContent: count(number) }))));
      list.firstChild?.classList.add("at");
    };
    input.oninput = suggest;
    input.onkeydown = (event) => {
      const at = list.querySelector(".at");
      if (event.key === "Enter" && at && !list.hidden) at.click();
      const next = { ArrowDown: at?.nextSibling, ArrowUp: at?.previousSibling }[event.key];
      if (next) { at.classList.remove("at"); next.classList.add("at"); event.preventDefault(); }
    };
    const label = make("output", { textContent: (state.tagPercent / 100).toFixed(2) });
    const slider = make("input", {
      type: "range", min: 0, max: 100, value: state.tagPercent, "aria-label": "Least score of a tag",
      oninput: () => { label.textContent = (slider.value / 100).toFixed(2); set({ tagPercent: Number(slider.value) }); },
    });
    slider.id = "tag-score";
    return make("section", {}, make("h2", { textContent: "Tags" }), input, list, chips,
      make("div", { className: "slide" }, make("span", {}, "score at least ", label), slider));
  }

  // Tags that hold the text, with the rows that have them, most first.
  function suggestions(typed) {
    const data = labelmill.data;
    const hits = tagsWith(typed);
    const numbers = new Map();
    for (let at = 0; at < data.tags.of.length; at++) {
      const tag = data.tags.of[at];
      if (hits[tag] && data.tags.percent[at] >= state.tagPercent) numbers.set(tag, (numbers.get(tag) || 0) + 1);
    }
    data.tags.names.forEach((name, tag) => { if (hits[tag] && !numbers.has(tag)) numbers.set(tag, 0); });
    const exact = (tag) => Number(data.tags.names[tag].toLowerCase().replaceAll("_", " ") === typed);
    return [...numbers].sort((one, other) => exact(other[0]) - exact(one[0]) || other[1] - one[1]).slice(0, 8);
  }

  function scoreBox() {
    const { scores } = labelmill.data;
    if (!scores.length) return "";
    const lines = scores.map((score) => {
      const field = (key, word) => make("input", {
        className: "field", type: "number", step: "any", placeholder: word, "aria-label": `${title(score.name)}, ${word}`,
        oninput: (event) => {
          const range = { ...state.between.get(score.name), [key]: event.target.value === "" ? undefined : Number(event.target.value) };
          if (range.least === undefined && range.most === undefined) state.between.delete(score.name);
          else state.between.set(score.name, range);
          changed();
        },
      });
      const line = make("div", { className: "between" }, make("span", { textContent: title(score.name), title: score.name }),
        field("least", "least"), make("span", { textContent: "–" }), field("most", "most"));
      line.dataset.score = score.name;
      return line;
    });
    return make("section", {}, make("h2", { textContent: "Scores" }), ...lines);
  }

  return { state, apply, build, show, set, only, addTag, active, clear, sortChoices };
})();
