// Every page, light and dark, narrow and wide: axe finds nothing, the content security policy is kept, nothing is asked of
// anybody else, nothing scrolls sideways, and nothing that somebody wrote is taken for markup.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { launch, visitor } from "../support/browser.mjs";
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

describe("without JavaScript", () => {
  test("a link signs in once, and every command works", async () => {
    const { context, page } = await visitor(browser, world, { javaScriptEnabled: false });
    const { ids } = world;
    const go = (path) => page.goto(world.base + path);
    const press = async (name) => { await page.getByRole("button", { name, exact: true }).click(); };
    const says = async (text) => assert.ok((await page.locator("main").innerText()).includes(text), `${text}\n${await page.locator("main").innerText()}`);

    await go("/dashboard/applications");
    await page.getByLabel("Name").fill("Late Checkout");
    await press("Add");
    await says("Created.");
    await page.getByRole("link", { name: "New webhook" }).first().click();
    await page.getByLabel("URL").fill("ftp://h.example/");
    await press("Create the webhook");
    await says("Url");
    await page.getByLabel("URL").fill(`${world.receivers[2].url}/late?secret=canary-of-a-query`);
    await page.getByLabel("Description").fill("Late");
    await press("Create the webhook");
    const secret = await page.locator(".once .copyable code").innerText();
    assert.match(secret, /^whsec_/);
    await page.getByRole("link", { name: "To the webhook" }).click();
    assert.ok(!(await page.content()).includes("canary-of-a-query"));
    await press("Send a test");
    await says("The receiver took a signed test message");
    await page.getByRole("link", { name: "Back to the webhook" }).click();
    await page.getByText("Pause…").click();
    await press("Pause");
    await says("It is paused");
    await press("Enable, and send what is held");
    await says("Enabled.");
    await page.getByRole("link", { name: "Change" }).click();
    await page.getByLabel("Time-out in seconds").fill("99");
    await press("Save");
    await says("TimeoutSeconds");
    await page.getByLabel("Time-out in seconds").fill("20");
    await press("Save");
    await says("20.0 s");

    await go(`/dashboard/integrations/new?ApplicationId=${ids.spa}&EnterpriseId=${ids.hotel}`);
    await page.getByLabel("Name").first().fill("Sauna");
    await press("Create the integration");
    assert.match(await page.locator(".once .copyable code").innerText(), /^[0-9A-F]{32}-[0-9A-F]{31}$/);
    await page.getByRole("link", { name: "To the integration" }).click();
    await press("Disable");
    await says("Done.");
    await page.getByRole("link", { name: "Delete…" }).click();
    await press("Delete");
    await says("It is gone for good");

    await go(`/dashboard/deliveries/${ids.retrying}`);
    await page.getByText("Discard…").click();
    await page.getByLabel("Why").fill("no longer wanted");
    await press("Discard this delivery");
    await says("no longer wanted");
    await press("Send again now");
    await says("It will be sent again now.");

    await go("/dashboard");
    await page.getByRole("link", { name: "Replay the failed" }).first().click();
    await page.getByRole("button", { name: /^Replay \d+ deliver/ }).click();
    await says("Started.");

    await go("/dashboard/keys");
    await page.getByLabel("Name").fill("Reader");
    await page.getByLabel("Scope").selectOption("introspect");
    await press("Make the key");
    assert.match(await page.locator(".once .copyable code").innerText(), /^bhk_/);

    await go(`/dashboard/webhooks/${ids.good}/rotate-secret`);
    await press("Rotate the secret");
    assert.match(await page.locator(".once .copyable code").innerText(), /^whsec_/);

    await go(`/dashboard/webhooks/${ids.quiet}/signatures`);
    await page.getByLabel("v1a").check();
    await press("Save");
    await says("Public key");
    await go(`/dashboard/webhooks/${ids.quiet}/credentials`);
    await page.getByText("Bearer token").click();
    await page.getByLabel("Token", { exact: true }).fill("canary-of-a-token");
    await page.locator("details[open]").getByRole("button", { name: "Set it" }).click();
    await says("bearer token");
    assert.ok(!(await page.content()).includes("canary-of-a-token"));
    await go(`/dashboard/webhooks/${ids.paused}/settings`);
    await page.getByLabel("IntegrationDisabled").check();
    await press("Save");
    await go(`/dashboard/webhooks/${ids.paused}/backfill`);
    await page.getByRole("button", { name: /^Send \d+ message/ }).click();
    await says("Started.");
    await go("/dashboard/keys");
    await page.getByRole("link", { name: /^Rotate…/ }).first().click();
    await press("Rotate the key");
    assert.match(await page.locator(".once .copyable code").innerText(), /^bhk_/);
    await go(`/dashboard/webhooks/${ids.good}/debug-signature`);
    await page.getByLabel("Headers").fill("webhook-id: msg_1\nwebhook-timestamp: 1614265330\nwebhook-signature: v1,AAAA");
    await page.getByLabel("Body").fill("{}");
    await press("Find the mistake");
    await says("Not verified");
    await go("/dashboard/audit?Action=WebhookUpdated");
    await says("Holds");
    await says("WebhookUpdated");
    await go(`/dashboard/play/${ids.play}`);
    await page.getByRole("button", { name: /^410/ }).click();
    await says("Saved.");

    await go("/dashboard");
    await page.getByRole("button", { name: "Colours: Dark" }).click();
    assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
    await press("Sign out");
    await go("/dashboard");
    assert.ok(page.url().endsWith("/dashboard/sign-in"));
    await context.close();
  });
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
  const open = async (name) => {
    for (let steps = 0; steps < 80; steps += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const { textContent, tagName } = document.activeElement;
        const outline = getComputedStyle(document.activeElement).outlineStyle;
        return { text: textContent.trim(), tagName, outline };
      });
      if (at.text.startsWith(name)) {
        assert.notEqual(at.outline, "none", `${name}: the focus can be seen`);
        return page.keyboard.press("Enter");
      }
    }
    throw new Error(`${name} is not reached by Tab`);
  };
  await page.goto(`${world.base}/dashboard/deliveries?State=Failed`);
  await open("Integration");
  await page.waitForURL(/deliveries\/|integrations/);
  await page.goto(`${world.base}/dashboard/deliveries/${world.ids.failed}`);
  await open("Send again now");
  await page.getByText("It will be sent again now.").waitFor();
  await context.close();
});
