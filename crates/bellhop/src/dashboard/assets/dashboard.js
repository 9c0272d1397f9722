// Everything works without this file. It adds: the live tail that holds still while somebody reads, copying, and keys.

/** Copies a text. Where the page came over plain http there is no clipboard, so a selection is copied instead. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function offerCopies(root) {
  for (const button of root.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const near = button.parentElement.querySelector("code");
      await copy(button.dataset.copy ?? near?.textContent ?? "");
      const name = button.firstChild;
      name.textContent = "Copied";
      setTimeout(() => { name.textContent = "Copy"; }, 1500);
    });
  }
}

/** The live tail: reads the rows again when something happened, unless it is paused or somebody has scrolled down. */
function tail() {
  const source = document.getElementById("tail");
  if (!source || !window.htmx) return;
  const line = document.querySelector(".live");
  const words = line.querySelector(".words");
  const hold = document.getElementById("hold");
  const fresh = document.getElementById("fresh");
  let isPaused = false;
  line.hidden = false;

  const isHeld = () => isPaused || window.scrollY > 200 || document.hidden;
  const show = () => {
    line.classList.toggle("held", isPaused);
    hold.textContent = isPaused ? "Go on" : "Pause";
    const said = isPaused ? "Paused" : "Live";
    if (words.textContent !== said) words.textContent = said;
  };
  const read = () => { fresh.hidden = true; window.htmx.trigger(source, "refresh"); };

  document.body.addEventListener("htmx:confirm", (event) => {
    if (event.target !== source || event.detail.triggeringEvent?.type === "refresh") return;
    if (isHeld()) {
      event.preventDefault();
      // What only looks from time to time does not know that there is something new.
      if (event.detail.triggeringEvent) fresh.hidden = false;
    }
  });
  // A row that has the focus would lose it, and one that somebody has opened would be shut.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const rows = document.getElementById("rows");
    const active = document.activeElement;
    const isRead = (rows.contains(active) && active !== rows) || rows.querySelector("details[open]");
    if (event.detail.target === rows && isRead) {
      event.detail.shouldSwap = false;
      fresh.hidden = false;
    }
  });
  document.body.addEventListener("htmx:sseError", () => { words.textContent = "Not connected: trying again"; });
  document.body.addEventListener("htmx:sseOpen", () => show());
  hold.addEventListener("click", () => { isPaused = !isPaused; show(); if (!isPaused) read(); });
  fresh.addEventListener("click", () => { window.scrollTo({ top: 0 }); document.getElementById("rows").focus(); read(); });
}

/** `/` to the search. It needs no modifier, so it is off where somebody types. */
function keys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.key !== "/") return;
    const search = document.getElementById("Search");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  });
}

/** A link to an attempt opens it. */
function openNamed() {
  const named = document.getElementById(location.hash.slice(1));
  if (named instanceof HTMLDetailsElement) named.open = true;
}

/** Where the navigation has no room, it begins with the page that is shown. */
function showPlace() {
  const nav = document.querySelector("nav.main");
  const place = nav?.querySelector("[aria-current]");
  if (place) nav.scrollLeft = place.offsetLeft - (nav.clientWidth - place.offsetWidth) / 2;
}

offerCopies(document);
showPlace();
tail();
keys();
openNamed();
window.addEventListener("hashchange", openNamed);
