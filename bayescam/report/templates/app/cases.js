/* The lists of the front page, and all cases: sorted, filtered, searched. */
Bayescam.cases = (function () {
  const STEP = 60;
  const field = (id) => document.getElementById(id);
  const FILTERS = ["order", "list", "predicted", "label", "only", "verdict", "search"];
  let shown = [], limit = STEP, strata = [];

  function verdict(row) {
    return row.referred === null ? "" : row.referred ? "refer" : "keep";
  }

  function badge(text, kind) {
    return Bayescam.element("span", { class: "flag " + (kind || "") }, [text]);
  }

  function badges(row) {
    const found = [];
    if (row.wrong) found.push(badge("wrong", "wrong"));
    if (row.referred !== null) found.push(badge(row.referred ? "referred" : "kept"));
    return found.concat(row.remarks.map((remark) => badge(remark)));
  }

  function card(number) {
    const index = Bayescam.page.index, row = index.rows[number], element = Bayescam.element;
    const name = element("span", { class: "name" }, [Bayescam.isolated(index.classes[row.predicted])]);
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = index.colors[row.predicted];
    return element("a", { class: "card", href: "#case=" + number, "data-case": number }, [
      element("img", { src: row.thumbnail, alt: "", loading: "lazy", decoding: "async" }),
      element("span", { class: "id" }, [Bayescam.isolated(row.id)]),
      element("span", {}, [swatch, name, " " + row.confidence.toFixed(2),
        ...(row.label === null ? [] : [" (label ", Bayescam.isolated(row.label), ")"])]),
      element("span", { class: "flags" }, badges(row)),
    ]);
  }

  function passes(row, number) {
    const list = field("list").value, word = field("search").value.trim().toLowerCase();
    return (list === "" || Bayescam.page.index.lists[Number(list)].cases.includes(number)) &&
      (field("predicted").value === "" || row.predicted === Number(field("predicted").value)) &&
      (field("label").value === "" || row.label === field("label").value) &&
      (field("only").value === "" || row.wrong === (field("only").value === "wrong")) &&
      (field("verdict").value === "" || verdict(row) === field("verdict").value) &&
      strata.every((choice, i) => choice.value === "" || row.details[i] === choice.value) &&
      (word === "" || row.id.toLowerCase().includes(word));
  }

  function update() {
    const rows = Bayescam.page.index.rows, [key, sign] = field("order").value.split(" ");
    shown = rows.map((_, number) => number).filter((number) => passes(rows[number], number));
    shown.sort((a, b) => Number(sign) * (rows[a][key] - rows[b][key]) || a - b);
    limit = STEP;
    fill();
  }

  function fill() {
    field("cards").replaceChildren(...shown.slice(0, limit).map(card));
    field("shown").value = shown.length + " of " + Bayescam.page.index.rows.length + " cases";
    field("more").hidden = shown.length <= limit;
  }

  /* The case before or after another in the order shown; null at the ends. */
  function neighbour(number, step) {
    const all = Bayescam.page.index.rows.map((_, i) => i);
    const order = shown.includes(number) ? shown : all;
    const next = order[order.indexOf(number) + step];
    return next === undefined ? null : next;
  }

  function option(value, text) {
    return Bayescam.element("option", { value: String(value) }, [text]);
  }

  function distinct(values) {
    return [...new Set(values.filter((value) => value !== null && value !== ""))].sort();
  }

  function addChoices(index) {
    const rows = index.rows;
    field("predicted").append(...index.classes.map((name, k) => option(k, name)));
    field("label").append(...distinct(rows.map((row) => row.label)).map((name) => option(name, name)));
    field("list").append(...index.lists.map((list, i) => option(i, list.name)));
    for (const id of ["label", "only"]) {
      field(id).parentElement.hidden = rows.every((row) => row.label === null);
    }
    field("verdict").parentElement.hidden = rows.every((row) => row.referred === null);
    strata = index.details.map(function (name, i) {
      const choice = Bayescam.element("select", { "data-detail": name }, [option("", "any")]);
      const values = distinct(rows.map((row) => row.details[i]));
      choice.append(...values.map((value) => option(value, value)));
      const label = Bayescam.element("label", {}, [name + " ", choice]);
      label.hidden = values.length < 2 || values.length > 40;
      field("strata").append(label);
      return choice;
    });
  }

  function showLists(index) {
    const element = Bayescam.element;
    field("lists").replaceChildren(...index.lists.map((list) => element("section", { class: "list" }, [
      element("h3", {}, [list.name]),
      element("p", { class: "soft" }, [list.explanation]),
      list.cases.length
        ? element("div", { class: "cards row" }, list.cases.map(card))
        : element("p", {}, ["None."]),
    ])));
  }

  function start() {
    addChoices(Bayescam.page.index);
    showLists(Bayescam.page.index);
    for (const choice of [...FILTERS.map(field), ...strata]) choice.addEventListener("input", update);
    field("controls").addEventListener("submit", (event) => event.preventDefault());
    field("more").addEventListener("click", function () {
      limit += STEP;
      fill();
    });
    update();
  }

  return { start, neighbour, badges };
})();
