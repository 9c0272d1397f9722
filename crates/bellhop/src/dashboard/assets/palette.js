// Ctrl-K (⌘K): go anywhere by typing. Pages, what can be done on this one, and whatever the search finds. Everything that is
// in it is on the pages as well.

const MOST = 12;

/** What this page leads to: the navigation, then the links and buttons that do something here. */
function ofPage() {
  const entries = [];
  const add = (element, kind) => {
    const name = element.textContent.trim().replaceAll(/\s+/g, " ");
    if (name && !entries.some((each) => each.name === name && each.kind === kind)) entries.push({ name, kind, run: () => element.click() });
  };
  for (const link of document.querySelectorAll("main .actions a, main .actions button, main .title a.button")) add(link, "Here");
  for (const link of document.querySelectorAll("nav.main a")) add(link, "Page");
  for (const button of document.querySelectorAll("footer button, footer a")) add(button, "More");
  return entries;
}

/** What the search says, as the page that it is. */
async function searched(text, signal) {
  const answer = await fetch(`/dashboard/search?${new URLSearchParams({ Text: text })}`, { signal });
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll(".found li");
  return [...found].map((item) => ({
    name: item.querySelector("a").textContent,
    kind: item.querySelector(".tag").textContent,
    run: () => { location.assign(item.querySelector("a").getAttribute("href")); },
  }));
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function palette() {
  if (!document.querySelector("nav.main")) return;
  const input = element("input", {
    type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
    "aria-label": "Go to a page, an id or a name", placeholder: "A page, an id, a name …", autocomplete: "off", spellcheck: "false",
  });
  const list = element("ul", { id: "palette-list", role: "listbox", "aria-label": "Where to" });
  const dialog = element("dialog", { class: "palette", "aria-label": "Go anywhere" }, input, list);
  document.body.append(dialog);
  let shown = [], chosen = 0, asked = null, entries = [];

  const mark = () => {
    for (const [place, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(place === chosen));
    const active = list.children[chosen];
    input.setAttribute("aria-activedescendant", active?.id ?? "");
    active?.scrollIntoView({ block: "nearest" });
  };
  const show = (items) => {
    shown = items.slice(0, MOST);
    chosen = 0;
    list.replaceChildren(...shown.map((each, place) => {
      const option = element("li", { role: "option", id: `palette-${place}` }, element("span", { class: "tag" }, each.kind), element("span", {}, each.name));
      option.addEventListener("click", () => { dialog.close(); each.run(); });
      return option;
    }));
    mark();
  };
  const look = async () => {
    asked?.abort();
    const text = input.value.trim();
    const fits = entries.filter((each) => each.name.toLowerCase().includes(text.toLowerCase()));
    show(fits);
    if (text.length < 2) return;
    asked = new AbortController();
    try {
      const found = await searched(text, asked.signal);
      if (found.length) show([...found.slice(0, 6), ...fits]);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  };
  const move = (by) => { chosen = shown.length ? (chosen + by + shown.length) % shown.length : 0; mark(); };

  input.addEventListener("input", look);
  input.addEventListener("keydown", (event) => {
    const does = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => { const each = shown[chosen]; if (each) { dialog.close(); each.run(); } } }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    if (dialog.open) { dialog.close(); return; }
    entries = ofPage();
    input.value = "";
    dialog.showModal();
    look();
  });
}

palette();
