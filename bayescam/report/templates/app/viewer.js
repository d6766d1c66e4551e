/* One case: the picture with a map on it, the densities, and a slider through single draws. */
Bayescam.viewer = (function () {
  const kept = { opacity: 0.7, outline: true };

  function outline(content) {
    const node = Bayescam.element("svg", { class: "outline", viewBox: "0 0 1000 1000", preserveAspectRatio: "none",
      "aria-hidden": "true" });
    for (const line of content.outline) {
      const points = line.map((point) => point.join(",")).join(" ");
      node.append(Bayescam.element("polygon", { points, class: "dark" }),
        Bayescam.element("polygon", { points, class: "light" }));
    }
    return node;
  }

  /* The picture with a canvas above it, and the outline of the mask. */
  function stage(content, kind) {
    const canvas = Bayescam.element("canvas", { "aria-hidden": "true" });
    const picture = Bayescam.element("img", { src: content.picture, alt: kind, width: content.size[1],
      height: content.size[0] });
    return { canvas, node: Bayescam.element("div", { class: "stage" }, [picture, canvas, outline(content)]) };
  }

  function panel(content, layer, choose) {
    const { canvas, node } = stage(content, layer.title);
    Bayescam.maps.paint(canvas, layer, content.size, layer.fades ? kept.opacity : 1);
    return Bayescam.element("button", { type: "button", class: "panel", "data-layer": layer.key, onclick: choose }, [
      node, Bayescam.element("span", {}, [layer.missing || layer.title]), Bayescam.maps.bar(layer)]);
  }

  function table(content) {
    const element = Bayescam.element, index = Bayescam.page.index;
    const rows = content.classes.map(function ([k, mean, lower, upper]) {
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = index.colors[k];
      return element("tr", {}, [
        element("td", {}, [swatch, Bayescam.isolated(index.classes[k])]),
        element("td", { class: "right" }, [mean.toFixed(3)]),
        element("td", { class: "right" }, [lower.toFixed(3) + " to " + upper.toFixed(3)]),
        element("td", { class: "right now", "data-class": k }, [""])]);
    });
    const level = Math.round(1000 * index.level) / 10;
    const head = ["class", "mean", level + " % interval", ""].map((text, i) =>
      element("th", { scope: "col", class: i ? "right" : "" }, [text]));
    return element("table", {}, [element("thead", {}, [element("tr", {}, head)]), element("tbody", {}, rows)]);
  }

  function facts(content) {
    const element = Bayescam.element;
    return element("dl", { class: "facts" }, Object.entries(content.facts).flatMap(([name, value]) =>
      [element("dt", {}, [name]), element("dd", {}, [Bayescam.isolated(value)])]));
  }

  function head(number, row) {
    const element = Bayescam.element, index = Bayescam.page.index;
    const step = (by, text, key) => {
      const next = Bayescam.cases.neighbour(number, by);
      return element("a", { class: "step", href: next === null ? null : "#case=" + next, "aria-disabled": String(next === null),
        "aria-keyshortcuts": key, title: "key " + key }, [text]);
    };
    return element("div", { class: "head" }, [
      element("h1", {}, [Bayescam.isolated(row.id)]),
      element("span", { class: "verdict" }, ["predicted ", element("b", {}, [Bayescam.isolated(index.classes[row.predicted])]),
        ...(row.label === null ? [] : [", label ", element("b", {}, [Bayescam.isolated(row.label)])])]),
      ...Bayescam.cases.badges(row),
      element("span", { class: "steps" }, [step(-1, "← previous", "k"), step(1, "next →", "j"),
        element("a", { href: "#cases", class: "step", title: "key Esc" }, ["all cases"])])]);
  }

  /* Put a case into a node. */
  function show(node, number, content) {
    const element = Bayescam.element, index = Bayescam.page.index, row = index.rows[number];
    const state = { map: 0, layer: "mean", draw: 0 };
    const big = stage(content, "image " + row.id), caption = element("p", { class: "caption", "aria-live": "polite" });
    const scale = element("div"), small = element("div", { class: "panels" });
    const plot = Bayescam.density.plot(content), numbers = table(content);
    const unit = index.unit.replace(/s$/, "");

    function layersNow() {
      return Bayescam.maps.layers(content.maps[state.map], content.contrast);
    }

    function layerNow() {
      const map = content.maps[state.map];
      if (state.layer === "none") return null;
      if (state.layer === "draw") return map && map.draws
        ? Bayescam.maps.drawLayer(map, state.draw, unit)
        : layersNow().find((layer) => layer.key === "mean") || null;
      return layersNow().find((layer) => layer.key === state.layer) || null;
    }

    function refresh() {
      const layer = layerNow(), single = state.layer === "draw";
      Bayescam.maps.paint(big.canvas, layer || { missing: true }, content.size, kept.opacity);
      caption.replaceChildren(layer ? layer.missing || layer.title : "original");
      scale.replaceChildren(...(layer && !layer.missing ? [Bayescam.maps.bar(layer)] : []));
      for (const part of [big.node, small]) part.classList.toggle("bare", !kept.outline);
      plot.mark(single ? state.draw : null);
      const probs = single ? content.drawn : null;
      for (const cell of numbers.querySelectorAll(".now")) {
        cell.textContent = probs ? probs.values[state.draw * probs.shape[1] + Number(cell.dataset.class)].toFixed(3) : "";
      }
      numbers.querySelector("th:last-child").textContent = single ? unit + " " + (state.draw + 1) : "";
      for (const button of node.querySelectorAll("[data-layer]")) {
        button.setAttribute("aria-pressed", String(button.dataset.layer === state.layer));
      }
      slider.setAttribute("aria-valuetext", single ? unit + " " + (state.draw + 1) : "mean of all");
    }

    function choose(layer) {
      state.layer = layer;
      refresh();
    }

    function fillPanels() {
      small.replaceChildren(...layersNow().map((layer) => panel(content, layer, () => choose(layer.key))));
    }

    const slider = element("input", { id: "draw", type: "range", min: 0, max: index.samples - 1, value: 0, step: 1,
      oninput: (event) => { state.draw = Number(event.target.value); choose("draw"); } });
    const opacity = element("input", { id: "opacity", type: "range", min: 0, max: 1, step: 0.05, value: kept.opacity,
      oninput: (event) => { kept.opacity = Number(event.target.value); fillPanels(); refresh(); } });
    const outlined = element("input", { id: "outlined", type: "checkbox", checked: kept.outline,
      oninput: (event) => { kept.outline = event.target.checked; refresh(); } });
    const targets = element("select", { id: "target",
      oninput: (event) => { state.map = Number(event.target.value); fillPanels(); refresh(); } },
      content.maps.map((map, i) => element("option", { value: i }, [map.target])));
    const keptDraws = content.maps.length && content.maps[0].draws ? content.maps[0].draws.shape[0] : 0;
    slider.max = Math.max(keptDraws || index.samples, 1) - 1;

    const sliderName = keptDraws && keptDraws < index.samples
      ? "first " + keptDraws + " of " + index.samples + " " + index.unit : "single " + index.unit;

    /* To the draw before or after; from another layer, to the draw of the slider. */
    function step(by) {
      if (state.layer === "draw") slider[by > 0 ? "stepUp" : "stepDown"]();
      state.draw = Number(slider.value);
      choose("draw");
    }

    const controls = element("div", { class: "viewer-controls" }, [
      element("div", { class: "layers" }, [
        ...[["none", "original"], ...layersNow().map((layer) => [layer.key, { mean: "mean", sd: "sd",
          relevant: "P(map > c)", contrast: "contrast" }[layer.key]]), ...(keptDraws ? [["draw", "one " + unit]] : [])]
          .map(([key, text]) => element("button", { type: "button", "data-layer": key, onclick: () => choose(key) }, [text]))]),
      ...(index.samples > 1 ? [element("label", { class: "wide" }, [sliderName + " ", slider])] : []),
      ...(content.maps.length ? [element("label", { class: "wide" }, ["opacity ", opacity])] : []),
      ...(content.maps.length > 1 ? [element("label", {}, ["map for ", targets])] : []),
      ...(content.outline.length ? [element("label", {}, [outlined, " outline of the mask"])] : []),
    ]);
    const words = element("div", { class: "words" }, [
      ...content.words.map((line) => element("p", {}, [Bayescam.isolated(line)])),
      ...(content.decisions.length ? [element("ul", { class: "decisions" },
        content.decisions.map((line) => element("li", {}, [Bayescam.isolated(line)])))] : [])]);
    node.replaceChildren(head(number, row), element("div", { class: "case" }, [
      element("div", { class: "left" }, [big.node, caption, scale, controls, facts(content)]),
      element("div", { class: "right-side" }, [words, plot.node, numbers])]),
      small);
    if (!content.maps.length) choose("none");
    fillPanels();
    refresh();
    return { step };
  }

  return { show };
})();
