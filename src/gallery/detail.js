// One picture in full: the original where it still is, everything that is known of it beside it.
"use strict";

const detail = (() => {
  // Tags shown before "all".
  const SHOWN = 40;
  let box = null;
  let at = -1;
  let closed = () => {};

  function build(element, whenClosed) {
    box = element;
    closed = whenClosed;
  }

  // Where the image lies, as a link. labelmill writes bytes that are no UTF-8 as \xHH.
  function fileUrl(uri) {
    const encoded = uri.split("/").map(encodeURIComponent).join("/");
    return `file://${encoded.replace(/%5Cx([0-9a-fA-F]{2})/g, "%$1")}`;
  }

  async function open(newAt) {
    at = newAt;
    const row = grid.rows[at];
    const facts = await labelmill.detailOf(row);
    if (grid.rows[at] !== row) return;
    const wasOpen = !box.hidden;
    box.replaceChildren(stage(row, facts), sheet(row, facts));
    box.hidden = false;
    box.scrollTop = 0;
    document.documentElement.style.overflow = "hidden";
    if (!wasOpen || !box.contains(document.activeElement)) box.querySelector(".close").focus({ preventScroll: true });
  }

  function close() {
    box.hidden = true;
    box.replaceChildren();
    document.documentElement.style.overflow = "";
    closed(at);
  }

  function turn(step) {
    const next = at + step;
    if (next >= 0 && next < grid.rows.length) open(next);
  }

  function stage(row, facts) {
    const turner = (name, sign, step) => make("button", {
      type: "button", className: `turn ${name}`, textContent: sign, "aria-label": step < 0 ? "Previous image" : "Next image",
      disabled: !(at + step in grid.rows), onclick: () => turn(step),
    });
    const picture = make("div", { className: "stage" });
    const instead = (why) => {
      const sprite = make("div", { className: "sprite" });
      const place = labelmill.thumbnail(row);
      if (place) {
        Object.assign(sprite.style, { width: `${place.width}px`, height: `${place.height}px` });
        labelmill.paint(sprite, row, place.width, place.height);
      }
      picture.prepend(place ? sprite : "", make("p", { className: "hint", textContent: place ? `${why}; this is its thumbnail` : why }));
    };
    if (facts.uri && facts.uri.startsWith("/")) {
      const image = make("img", { alt: labelmill.data.path[row], decoding: "async" });
      image.onerror = () => { image.remove(); instead("The browser cannot show the original, or it is not there"); };
      image.src = fileUrl(facts.uri);
      picture.append(image);
    } else {
      instead("The original is not a file of its own");
    }
    picture.append(turner("back", "‹", -1), turner("on", "›", 1));
    return picture;
  }

  function sheet(row, facts) {
    const { data } = labelmill;
    const path = data.path[row];
    const size = data.width[row] && data.height[row] ? `${data.width[row]} × ${data.height[row]}, ` : "";
    const head = make("header", {}, make("div", {},
      make("h2", { id: "detail-name", textContent: path }),
      make("p", { textContent: `${size}${count(at + 1)} of ${count(grid.rows.length)}` })),
    make("button", { type: "button", className: "close", textContent: "×", "aria-label": "Close", "aria-keyshortcuts": "Escape", onclick: close }));
    const blocks = [
      facts.error && make("p", { className: "trouble", textContent: facts.error }),
      ...facts.texts.map(([name, text]) => block(name, text, make("div", { className: "said", textContent: text }))),
      settings(facts), classes(facts),
      ...facts.lists.map(([name, items]) => items.length > 0 && scored(name, items)),
      pairs("File", [...facts.facts, ["Path", facts.uri || path]], null),
      pairs("Provenance, unverified", facts.provenance, null),
    ];
    return make("div", { className: "sheet" }, head, ...blocks.filter(Boolean));
  }

  function block(name, toCopy, ...inside) {
    const copying = toCopy && make("button", { type: "button", className: "copy", textContent: "Copy", "aria-label": `Copy ${name.toLowerCase()}` });
    if (copying) {
      copying.onclick = async () => {
        copying.textContent = await copy(toCopy) ? "Copied" : "Not allowed here";
        setTimeout(() => { copying.textContent = "Copy"; }, 1500);
      };
    }
    return make("section", { className: "block" }, make("h3", {}, name, copying), ...inside);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = make("textarea", { value: text, readOnly: true, className: "unseen" });
      box.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  function pairs(name, entries, toCopy) {
    if (!entries || !entries.length) return null;
    const list = make("dl", { className: "facts" });
    for (const [key, value] of entries) list.append(make("dt", { textContent: title(key) }), make("dd", { textContent: value }));
    return block(name, toCopy, list);
  }

  function settings(facts) {
    const loras = facts.loras.map((lora) => {
      const { name, weight } = Object.fromEntries(lora);
      return ["LoRA", weight === undefined ? name : `${name} (${weight})`];
    });
    const entries = [...facts.settings, ...loras, ...(facts.extra || [])];
    return pairs("Settings", entries, entries.map(([key, value]) => `${title(key)}: ${value}`).join("\n"));
  }

  function bar(share) {
    const inside = make("i");
    inside.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
    return make("div", { className: "bar" }, inside);
  }

  function line(name, score, group, whenPicked) {
    const words = group ? [name, " ", make("small", { textContent: group })] : [name];
    const label = whenPicked
      ? make("button", { type: "button", className: "name", title: `Show pictures with ${name}`, onclick: whenPicked }, ...words)
      : make("span", { className: "name", title: name }, ...words);
    return make("li", {}, label, bar(score ?? 0), make("span", { className: "score", textContent: score === null ? "" : score.toFixed(2) }));
  }

  function classes(facts) {
    const lines = facts.classes.map(([name, value, score]) => line(`${title(name)}: ${value}`, score));
    // A number of a labeler's own scale, such as an aesthetic score, has no bar.
    const numbers = facts.numbers.map(([name, number]) => [name, String(number)]);
    if (!lines.length) return pairs("Scores", numbers, null);
    const list = make("ul", { className: "bars" }, ...lines);
    const rest = numbers.map(([name, number]) => make("p", { textContent: `${title(name)}: ${number}` }));
    return block("Classes", null, list, ...rest);
  }

  function scored(name, items) {
    const names = labelmill.data.tags.names;
    const isTags = name.endsWith("tags");
    const known = name === (labelmill.data.summary.table.tag_list || "");
    const least = filters.state.tagPercent / 100;
    const list = make("ul", { className: "bars" });
    const show = (shown) => list.replaceChildren(...shown.map(([item, score, group]) => line(
      item, score, group === "general" ? null : group, known ? () => { close(); filters.addTag(names.indexOf(item)); } : null)));
    show(items.slice(0, SHOWN));
    const more = items.length > SHOWN && make("button", { type: "button", className: "link", textContent: `All ${items.length}` });
    if (more) more.onclick = () => { show(items); more.remove(); };
    const chosen = isTags ? items.filter(([, score]) => score === null || score >= least) : items;
    return block(title(name), chosen.map(([item]) => item).join(", "), list, more || "");
  }

  return { build, open, close, turn, get isOpen() { return !box.hidden; } };
})();
