/* What the address after # asks for, keys, and light or dark. */
(function () {
  const VIEWS = ["overview", "cases", "case", "about", "guide"];
  const field = (id) => document.getElementById(id);
  let current = null;

  function open(name) {
    for (const view of VIEWS) field("view-" + view).hidden = view !== name;
    for (const link of document.querySelectorAll("nav a")) {
      link.setAttribute("aria-current", link.dataset.view === name ? "page" : "false");
    }
  }

  function openCase(number) {
    const node = field("view-case");
    const row = Bayescam.page.index.rows[number];
    current = { number };
    open("case");
    if (!row) {
      node.replaceChildren(Bayescam.element("p", {}, ["There is no case " + number + "."]));
      return;
    }
    Bayescam.loadCase(row.file).then(function (content) {
      if (current && current.number === number) {
        current = { number, ...Bayescam.viewer.show(node, number, content) };
        node.focus({ preventScroll: true });
      }
    }, function (error) {
      node.replaceChildren(Bayescam.element("p", { class: "warning" }, [error.message]));
    });
  }

  function route() {
    const asked = location.hash.slice(1);
    const wanted = /^case=(\d+)$/.exec(asked);
    if (wanted) {
      window.scrollTo(0, 0);
      openCase(Number(wanted[1]));
    } else {
      const left = current && asked === "cases" && document.querySelector("#cards [data-case='" + current.number + "']");
      current = null;
      open(VIEWS.includes(asked) && asked !== "case" ? asked : "overview");
      if (left) left.focus();
      else window.scrollTo(0, 0);
    }
  }

  function step(by) {
    const next = Bayescam.cases.neighbour(current.number, by);
    if (next !== null) location.hash = "case=" + next;
  }

  function key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const typing = event.target.tagName === "SELECT" || event.target.type === "search";
    if (event.key === "Escape" && current) location.hash = "cases";
    else if (typing) return;
    else if (event.key === "/") {
      event.preventDefault();
      location.hash = "cases";
      open("cases");
      field("search").focus();
    } else if (current && event.key === "j") step(1);
    else if (current && event.key === "k") step(-1);
    else if (current && current.step && event.target.type !== "range") {
      if (event.key === "ArrowRight") current.step(1);
      if (event.key === "ArrowLeft") current.step(-1);
    }
  }

  function theme() {
    const root = document.documentElement.dataset;
    const now = root.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.theme = now === "dark" ? "light" : "dark";
  }

  /* Called when the index has arrived. */
  Bayescam.begin = function () {
    Bayescam.cases.start();
    field("theme").addEventListener("click", theme);
    window.addEventListener("hashchange", route);
    window.addEventListener("keydown", key);
    route();
  };
})();
