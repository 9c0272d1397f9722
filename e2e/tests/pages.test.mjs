// Every page, light and dark, narrow and wide: axe finds nothing, the content security policy is kept, nothing is asked of
// anybody else, nothing scrolls sideways, and nothing that somebody wrote is taken for markup.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { launch, visitor } from "../support/browser.mjs";
import { keyboard } from "../support/keyboard.mjs";
import { pages, start } from "../support/world.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
let world, browser;
before(async () => { [world, browser] = [await start(), await launch()]; });
after(async () => { await browser?.close(); await world?.stop(); });

/** What axe finds, as lines. The page's policy forbids axe's script in a tag, so it is evaluated from outside. */
async function axe(page) {
  const source = await (await import("node:fs/promises")).readFile(AXE, "utf8");
  await page.evaluate(source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`));
}

async function judge(page, seen, name) {
  assert.deepEqual(await axe(page), [], `${name}: axe`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, `${name}: scrolls sideways by ${overflow} px`);
  assert.equal(await page.evaluate(() => window.fired), undefined, `${name}: a payload fired`);
  assert.deepEqual(seen, { outside: [], violations: [], errors: [] }, name);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 360]) {
    test(`all pages, ${colorScheme}, ${width} px`, async () => {
      const { context, page, seen } = await visitor(browser, world, { colorScheme, width });
      for (const [name, path] of Object.entries(pages(world))) {
        await page.goto(world.base + path);
        assert.ok(await page.locator("h1").count() === 1, `${name}: one heading`);
        // What is folded away is judged too.
        await page.evaluate(() => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
        await judge(page, seen, `${name}, ${colorScheme}, ${width}`);
      }
      await context.close();
    });
  }
}

test("nothing scrolls sideways at any width, however long ago it was", async () => {
  const { context, page } = await visitor(browser, world);
  for (const [name, path] of Object.entries(pages(world))) {
    await page.goto(world.base + path);
    await page.evaluate(() => {
      for (const fold of document.querySelectorAll("details")) fold.open = true;
      for (const time of document.querySelectorAll("td time")) time.textContent = "59 min ago";
    });
    for (const width of [1600, 1280, 1200, 1100, 1080, 1024, 900, 768, 600, 320]) {
      await page.setViewportSize({ width, height: 900 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, `${name}, ${width} px: scrolls sideways by ${overflow} px`);
    }
  }
  await context.close();
});

test("the pages of whoever is not signed in", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const { context, page, seen } = await visitor(browser, world, { colorScheme, width: 360, signedIn: false });
    await page.goto(`${world.base}/`);
    assert.ok(page.url().endsWith("/dashboard/sign-in"));
    await judge(page, seen, "sign in");
    await page.goto(await world.link());
    await judge(page, seen, "link");
    await context.close();
  }
});

test("the live tail shows what is new, and holds still while it is paused", async () => {
  const { context, page, seen } = await visitor(browser, world);
  await page.goto(`${world.base}/dashboard/deliveries?WebhookId=${world.ids.good}`);
  await page.getByText("Live", { exact: true }).waitFor();
  const rows = page.locator("#rows tbody tr");
  const number = await rows.count();
  const happen = (name) => world.api("POST", "/v1/integrations", { ApplicationId: world.ids.keys, EnterpriseId: world.ids.hotel, Name: name });
  await happen("Seen at once");
  await rows.nth(number).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await happen("Seen later");
  await page.getByRole("button", { name: "Show what is new" }).waitFor();
  assert.equal(await rows.count(), number + 1);
  await page.getByRole("button", { name: "Show what is new" }).click();
  await rows.nth(number + 1).waitFor();
  assert.deepEqual(seen, { outside: [], violations: [], errors: [] });
  await context.close();
});

test("from a failed delivery to a replayed one in three clicks, by keyboard alone", async () => {
  const { context, page } = await visitor(browser, world);
  const { press } = keyboard(page);
  await page.goto(`${world.base}/dashboard/deliveries?State=Failed`);
  await press("Integration");
  await page.waitForURL(/deliveries\/|integrations/);
  await page.goto(`${world.base}/dashboard/deliveries/${world.ids.failed}`);
  await press("Send again now");
  await page.getByText("It will be sent again now.").waitFor();
  await context.close();
});
