/* Maps, enlarged and coloured as in the figures: bilinear between the centres of the cells. */
Bayescam.maps = (function () {
  const LONGEST = 360;
  const luts = new Map();

  function colors(kind) {
    if (!luts.has(kind)) luts.set(kind, Bayescam.bytes(Bayescam.page.index.colormaps[kind]));
    return luts.get(kind);
  }

  /* For each pixel of a side: the cell before it, the one after, and the share of the latter. */
  function places(cells, pixels) {
    return Array.from({ length: pixels }, function (_, i) {
      const at = Math.min(Math.max(((i + 0.5) * cells) / pixels - 0.5, 0), cells - 1);
      const before = Math.floor(at);
      return [before, Math.min(before + 1, cells - 1), at - before];
    });
  }

  /* The map (h, w) at the size (H, W). */
  function enlarge(values, shape, size) {
    const rows = places(shape[0], size[0]), columns = places(shape[1], size[1]);
    const found = new Float64Array(size[0] * size[1]);
    let next = 0;
    for (const [top, bottom, down] of rows) {
      for (const [left, right, across] of columns) {
        const at = (row, column) => values[row * shape[1] + column];
        const above = at(top, left) * (1 - across) + at(top, right) * across;
        const below = at(bottom, left) * (1 - across) + at(bottom, right) * across;
        found[next++] = above * (1 - down) + below * down;
      }
    }
    return found;
  }

  /* What a layer looks like: its values, the ends of its scale, its colours; `fades` where small. */
  function layers(map, contrast) {
    const relu = (values) => values.map((value) => Math.max(value, 0));
    const largest = (values) => values.reduce((top, value) => Math.max(top, value), 0) || 1;
    const found = [];
    if (map) {
      const mean = Bayescam.unpack(map.mean), sd = Bayescam.unpack(map.sd);
      const relevant = Bayescam.unpack(map.relevant), positive = relu(mean.values);
      found.push(
        { key: "mean", kind: "mean", title: "relu(mean map) for " + map.target, fades: true,
          values: positive, shape: mean.shape, low: 0, high: largest(positive),
          missing: map.evidence ? "" : "no positive evidence for " + map.target },
        { key: "sd", kind: "sd", title: map.ofAll ? "what each draw adds (sd)" : "uncertainty of the map (sd)", values: sd.values,
          shape: sd.shape, low: 0, high: largest(sd.values) },
        { key: "relevant", kind: "relevant", title: map.ofAll ? "share of draws that add > " + map.threshold.toPrecision(3)
            : "P(map > " + map.threshold.toPrecision(3) + ")",
          values: relevant.values, shape: relevant.shape, low: 0, high: 1 });
    }
    if (contrast) {
      const mean = Bayescam.unpack(contrast.mean);
      found.push({ key: "contrast", kind: "contrast", title: "mean map of " + contrast.name,
        values: mean.values, shape: mean.shape, low: -mean.max, high: mean.max, fades: true });
    }
    return found;
  }

  /* The layer of one draw; all draws of a map share one scale. */
  function drawLayer(map, draw, unit) {
    const all = map.unpacked || (map.unpacked = Bayescam.unpack(map.draws));
    const cells = all.shape[1] * all.shape[2];
    const values = all.values.slice(draw * cells, (draw + 1) * cells);
    return { key: "draw", kind: "mean", fades: true, shape: all.shape.slice(1), low: 0, high: all.max,
      title: (map.ofAll ? "what it adds to " : "relu(map) for ") + map.target + ", " + unit + " " + (draw + 1),
      values: values.map((value) => Math.max(value, 0)) };
  }

  /* Paint a layer on a canvas that lies on the picture. */
  function paint(canvas, layer, size, opacity) {
    const shrink = Math.min(1, LONGEST / Math.max(size[0], size[1]));
    const grid = size.map((side) => Math.max(1, Math.round(side * shrink)));
    canvas.height = grid[0];
    canvas.width = grid[1];
    const context = canvas.getContext("2d");
    if (layer.missing) return;
    const picture = context.createImageData(grid[1], grid[0]), lut = colors(layer.kind);
    const range = layer.high - layer.low || 1;
    enlarge(layer.values, layer.shape, grid).forEach(function (value, i) {
      const share = Math.min(Math.max((value - layer.low) / range, 0), 1);
      const color = 3 * Math.round(share * 255);
      const strength = layer.fades ? Math.abs(value) / Math.max(layer.high, -layer.low) : 1;
      picture.data.set([lut[color], lut[color + 1], lut[color + 2],
        Math.round(255 * opacity * Math.min(strength, 1))], 4 * i);
    });
    context.putImageData(picture, 0, 0);
  }

  /* The bar of a layer's colours, with the ends of its scale. */
  function bar(layer) {
    const canvas = Bayescam.element("canvas", { width: 128, height: 1, "aria-hidden": "true" });
    const context = canvas.getContext("2d"), lut = colors(layer.kind);
    const strip = context.createImageData(128, 1);
    for (let i = 0; i < 128; i++) {
      const color = 3 * Math.round((i * 255) / 127);
      strip.data.set([lut[color], lut[color + 1], lut[color + 2], 255], 4 * i);
    }
    context.putImageData(strip, 0, 0);
    const ends = [layer.low, layer.high].map((end) => Number(end.toPrecision(2)).toString());
    return Bayescam.element("div", { class: "scale" }, [ends[0], canvas, ends[1]]);
  }

  return { layers, drawLayer, paint, bar };
})();
