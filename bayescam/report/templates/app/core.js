"use strict";
/* What the data scripts call, and small helpers. Text from data is set as text, never as markup. */
const Bayescam = (function () {
  const KEPT = 12;
  const arrived = new Map();
  const waiting = new Map();
  const page = { index: null };
  const inOneFile = !document.currentScript.src;

  function receiveIndex(index) {
    page.index = index;
    Bayescam.begin();
  }

  function receiveCase(number, content) {
    if (!inOneFile && arrived.size >= KEPT) arrived.delete(arrived.keys().next().value);
    arrived.set(number, content);
    if (waiting.has(number)) {
      waiting.get(number).resolve(content);
      waiting.delete(number);
    }
  }

  /* The content of a case, from the script of its file: pages opened from disk may not fetch. */
  function loadCase(number) {
    if (arrived.has(number)) return Promise.resolve(arrived.get(number));
    return new Promise(function (resolve, reject) {
      const missing = () => reject(new Error("Case " + number + " is missing from this report."));
      waiting.set(number, { resolve: resolve });
      if (inOneFile) {
        window.addEventListener("load", () => waiting.has(number) && missing());
        return;
      }
      const script = document.createElement("script");
      script.onerror = missing;
      script.onload = () => script.remove();
      script.src = "cases/" + number + ".js";
      document.head.append(script);
    });
  }

  /* An element with attributes and children; strings become text. */
  function element(tag, attributes, children) {
    const drawing = ["svg", "path", "line", "text", "g", "title", "polygon"].includes(tag);
    const node = drawing
      ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...(children || []));
    return node;
  }

  /* A name from data, kept apart from the direction of the text around it. */
  function isolated(text) {
    return element("bdi", {}, [text]);
  }

  function bytes(data) {
    return Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  }

  /* The numbers of a packed array, with its shape. */
  function unpack(packed) {
    const raw = bytes(packed.data);
    const steps = packed.signed ? new Int8Array(raw.buffer) : raw;
    const unit = packed.max / (packed.signed ? 127 : 255);
    return { shape: packed.shape, max: packed.max, values: Float64Array.from(steps, (v) => v * unit) };
  }

  return { page, receiveIndex, receiveCase, loadCase, element, isolated, bytes, unpack };
})();
