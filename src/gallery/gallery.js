// The page: loads the rows, keeps wall and overview in step with the filters, listens to the keyboard.
"use strict";

labelmill.summary = (summary) => {
  const data = labelmill.begin(summary);
  const find = (id) => document.getElementById(id);
  const [wall, board, search, size, sort] = ["gallery", "overview", "search", "size", "sort"].map(find);
  let result = { rows: [], counts: [] };

  const name = summary.dataset.replace(/\/+$/, "").split("/").pop();
  find("name").textContent = name;
  find("where").textContent = summary.dataset;
  document.title = `${name} – labelmill`;
  if (summary.demo) {
    find("demo").textContent = "Labels by demo models, for trying out: do not rely on them.";
    find("demo").hidden = false;
  }

  function refresh(keepPlace) {
    result = filters.apply();
    filters.show(result);
    grid.show(result.rows, keepPlace);
    if (!board.hidden) overview.show(result.rows);
    const loading = data.loaded < data.rows ? " …" : "";
    const all = result.rows.length === data.rows;
    find("count").textContent = all ? `${count(data.rows)} images` : `${count(result.rows.length)} of ${count(data.rows)}${loading}`;
    find("filter-count").textContent = filters.active() || "";
    find("nothing").hidden = result.rows.length > 0 || data.loaded < data.rows;
    find("nothing").textContent = data.rows ? "No image matches. Take a filter out, or search for less." : "This dataset has no rows yet.";
    // Never while somebody types: what was typed may not be searched for yet.
    if (document.activeElement !== search) search.value = filters.state.search;
  }

  function view(showBoard) {
    closeDrawer();
    wall.hidden = showBoard;
    board.hidden = !showBoard;
    find("show-gallery").setAttribute("aria-pressed", String(!showBoard));
    find("show-overview").setAttribute("aria-pressed", String(showBoard));
    scrollTo(0, 0);
    if (showBoard) overview.show(result.rows); else grid.relayout();
  }

  function closeDrawer() {
    find("filters").classList.remove("open");
    find("show-filters").setAttribute("aria-expanded", "false");
  }

  grid.build(find("grid"), (at) => detail.open(at));
  detail.build(find("detail"), (at) => grid.focus(at));
  overview.build(board, () => view(false));
  filters.build(find("filters"), () => refresh(false));
  sort.append(...filters.sortChoices());
  sort.onchange = () => filters.set({ sort: sort.value });
  size.oninput = () => grid.relayout();
  find("show-gallery").onclick = () => view(false);
  find("show-overview").onclick = () => view(true);
  find("show-filters").onclick = () => {
    const isOpen = find("filters").classList.toggle("open");
    find("show-filters").setAttribute("aria-expanded", String(isOpen));
  };
  let typing = 0;
  search.oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => filters.set({ search: search.value }), 120);
  };
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { if (!board.hidden) overview.show(result.rows); }, 150);
  });
  // The bar wraps on narrow windows; what sticks below it follows.
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--top", `${find("top").offsetHeight}px`);
  }).observe(find("top"));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typingIn = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (detail.isOpen) {
      const act = { Escape: () => detail.close(), ArrowLeft: () => detail.turn(-1), ArrowRight: () => detail.turn(1) }[event.key];
      if (act) { event.preventDefault(); act(); } else if (event.key === "Tab") keepInside(event);
      return;
    }
    if (event.key === "Escape" && event.target === search) {
      if (!search.value) return search.blur();
      search.value = "";
      filters.set({ search: "" });
      return;
    }
    if (event.key === "Escape") return closeDrawer();
    if (typingIn) {
      if (event.target === search && (event.key === "ArrowDown" || event.key === "Enter")) { event.preventDefault(); grid.focus(0); }
      return;
    }
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (!wall.hidden && /^(Arrow|Home$|End$)/.test(event.key) && !event.target.closest?.("#filters")) {
      event.preventDefault();
      grid.move(event.key);
    }
  });

  // The keyboard's focus stays in the dialog while it is open.
  function keepInside(event) {
    const stops = [...find("detail").querySelectorAll("button:not(:disabled)")];
    const [first, last] = [stops[0], stops[stops.length - 1]];
    const from = document.activeElement;
    if (event.shiftKey ? from === first : from === last) {
      event.preventDefault();
      (event.shiftKey ? last : first).focus();
    }
  }

  refresh(true);
  let asked = false;
  labelmill.loadAll(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; refresh(true); });
  }).then(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = "yes"; }), (error) => {
    find("nothing").hidden = false;
    find("nothing").textContent = `This page is not whole: ${error.message}. Make it again with labelmill report.`;
  });
};
