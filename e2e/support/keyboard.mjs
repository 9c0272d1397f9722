// A page by keyboard alone, as someone works who has no mouse: Tab until it is reached, and the keys that a browser knows.

import assert from "node:assert/strict";

/** Longer is no way that anybody goes. */
const MOST_STEPS = 200;

/** What has the focus: how it is called, what it is, and whether one sees that it has it. Runs in the page. */
function focused() {
  const at = document.activeElement;
  const labels = [...(at.labels ?? [])].map((label) => label.textContent.trim());
  const group = at.type === "radio" ? [...document.getElementsByName(at.name)] : [];
  const { outlineStyle } = getComputedStyle(at);
  return {
    name: labels[0] ?? at.getAttribute("aria-label") ?? at.textContent.trim().replaceAll(/\s+/g, " "),
    id: at.id,
    tag: at.tagName,
    type: at.type,
    checked: at.checked,
    choices: group.map((each) => each.labels[0]?.textContent.trim() ?? ""),
    isSeen: outlineStyle !== "none",
  };
}

export function keyboard(page) {
  const starts = (at, name) => (name instanceof RegExp ? name.test(at.name) : at.name.startsWith(name));

  /** Presses Tab until this has the focus. It can be seen. */
  async function reach(wanted, what) {
    for (let steps = 0; steps < MOST_STEPS; steps += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(focused);
      if (wanted(at)) {
        assert.ok(at.isSeen, `${what}: the focus can be seen`);
        return at;
      }
    }
    throw new Error(`${what} is not reached by Tab at ${page.url()}`);
  }

  async function enter(leads = true) {
    const there = leads && page.waitForNavigation();
    await page.keyboard.press("Enter");
    await there;
  }

  return {
    /** A link, a button, or what unfolds: Enter. `name` is how it begins. A page that it leads to is there then. */
    async press(name) {
      const at = await reach((at) => ["A", "BUTTON", "SUMMARY"].includes(at.tag) && starts(at, name), name);
      await enter(at.tag !== "SUMMARY");
    },
    enter,
    /** A field, by its label or its id: what is in it goes, and this comes. */
    async type(label, text) {
      await reach((at) => ["INPUT", "TEXTAREA"].includes(at.tag) && (at.id === label || starts(at, label)), label);
      await page.keyboard.press("Control+A");
      await page.keyboard.insertText(text);
    },
    /** A list: the first letters of what is wanted. */
    async choose(label, option) {
      await reach((at) => at.tag === "SELECT" && starts(at, label), label);
      await page.keyboard.type(option);
    },
    /** A box, or one of several that exclude each other. */
    async tick(label) {
      const at = await reach((at) => starts(at, label) || at.choices.some((choice) => choice.startsWith(label)), label);
      if (at.type === "checkbox" && !at.checked) await page.keyboard.press("Space");
      for (let steps = 0; at.type === "radio" && !starts(await page.evaluate(focused), label); steps += 1) {
        assert.ok(steps < at.choices.length, `${label} is not reached by arrows`);
        await page.keyboard.press("ArrowDown");
      }
    },
  };
}
