/* The density of each class probability over the draws, with a marker for the draw shown. */
Bayescam.density = (function () {
  const WIDTH = 520, HEIGHT = 250, LEFT = 14, RIGHT = 10, TOP = 12, BOTTOM = 42;
  const x = (prob) => LEFT + prob * (WIDTH - LEFT - RIGHT);
  const y = (share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);

  function path(grid, heights) {
    return grid.map((p, i) => (i ? "L" : "M") + x(p).toFixed(1) + " " + y(heights[i]).toFixed(1)).join("");
  }

  function axis(node) {
    const element = Bayescam.element;
    node.append(element("line", { class: "axis", x1: x(0), x2: x(1), y1: y(0), y2: y(0) }));
    for (const place of [0, 0.25, 0.5, 0.75, 1]) {
      node.append(
        element("line", { class: "axis", x1: x(place), x2: x(place), y1: y(0), y2: y(0) + 4 }),
        element("text", { x: x(place), y: y(0) + 17, "text-anchor": "middle" }, [String(place)]));
    }
    node.append(element("text", { x: x(0.5), y: HEIGHT - 6, "text-anchor": "middle" }, ["probability"]));
  }

  /* The plot of a case; `mark(draw)` moves the markers, `mark(null)` takes them away. */
  function plot(content) {
    const element = Bayescam.element, index = Bayescam.page.index;
    const node = element("svg", { viewBox: "0 0 " + WIDTH + " " + HEIGHT, role: "img", class: "density",
      "aria-label": "Density of the class probabilities over the draws; the table has the numbers." });
    const curves = Bayescam.unpack(content.densities.curves), size = index.grid.length;
    const drawn = content.densities.classes;
    axis(node);
    drawn.slice().reverse().forEach(function (k) {
      const row = drawn.indexOf(k);
      const heights = Array.from(curves.values.slice(row * size, (row + 1) * size), (v) => v / curves.max);
      const line = path(index.grid, heights), color = index.colors[k];
      node.append(
        element("path", { d: line + "L" + x(1) + " " + y(0) + "L" + x(0) + " " + y(0) + "Z", fill: color,
          "fill-opacity": row < 2 ? 0.22 : 0.07 }),
        element("path", { d: line, fill: "none", stroke: color, "stroke-width": 1.8 }));
    });
    for (const [k, mean] of content.classes) {
      if (drawn.includes(k) || mean < 0.0005) continue;
      node.append(element("line", { x1: x(mean), x2: x(mean), y1: y(0), y2: y(1), stroke: index.colors[k],
        "stroke-width": 2 }));
    }
    if (content.densities.cut) {
      node.append(element("text", { x: WIDTH - RIGHT, y: TOP, "text-anchor": "end" },
        ["narrow peaks are cut off"]));
    }
    const markers = element("g", { class: "markers" });
    node.append(markers);
    return { node, mark: (draw) => mark(markers, content, draw) };
  }

  function mark(markers, content, draw) {
    markers.replaceChildren();
    if (draw === null) return;
    const index = Bayescam.page.index, probs = content.drawn || (content.drawn = Bayescam.unpack(content.probs));
    const classes = probs.shape[1];
    for (const [k] of content.classes.slice(0, 8).reverse()) {
      const place = x(probs.values[draw * classes + k]);
      markers.append(
        Bayescam.element("line", { x1: place, x2: place, y1: y(0), y2: y(0.94), stroke: index.colors[k],
          "stroke-width": 1.6, "stroke-dasharray": "4 2" }),
        Bayescam.element("polygon", { fill: index.colors[k], class: "marker",
          points: [[-6, 0], [6, 0], [0, 9]].map(([a, b]) => (place + a) + "," + (y(0.94) - 9 + b)).join(" ") }));
    }
  }

  return { plot };
})();
