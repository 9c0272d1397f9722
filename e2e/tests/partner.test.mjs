// The partner's whole job, by keyboard alone, with JavaScript and without.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visitor } from "../support/browser.mjs";
import { keyboard } from "../support/keyboard.mjs";
import { start } from "../support/world.mjs";

let world, browser;
before(async () => { [world, browser] = [await start(), await launch()]; });
after(async () => { await browser?.close(); await world?.stop(); });

/** The link that the operator makes on the application's page. */
async function partnersLink() {
  const { context, page } = await visitor(browser, world);
  await page.goto(`${world.base}/dashboard/applications/${world.ids.spa}`);
  await page.getByRole("button", { name: "Make a link for the partner" }).click();
  const path = await page.locator(".once .copyable code").innerText();
  await context.close();
  return world.base + path;
}

for (const javaScriptEnabled of [true, false]) {
  test(`a partner's job by keyboard, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async () => {
    const { context, page, seen } = await visitor(browser, world, { javaScriptEnabled, signedIn: false });
    const { press, type } = keyboard(page);
    const says = async (text) => {
      const main = await page.locator("main").innerText();
      assert.ok(main.includes(text), `${text}\n${main}`);
    };
    const names = ["Acme Keys", "Production", "Staging"];
    const foreign = async (texts = [...names, world.ids.keys, world.ids.good]) => {
      const whole = await page.content();
      for (const text of texts) assert.ok(!whole.includes(text), `${page.url()} shows ${text}`);
    };
    await page.goto(await partnersLink());
    await press("Sign in");
    await page.waitForURL(`${world.base}/dashboard`);
    await foreign();
    // A receiver to try with, and a webhook that sends to it.
    await press("Applications");
    await page.waitForURL(/applications$/);
    await foreign();
    await press("Spa Planner");
    await page.waitForURL(/applications\/[0-9a-f-]{36}$/);
    await press("Try with the built-in receiver");
    await page.waitForURL(/webhooks\/new/);
    await type("Description", "My own");
    await press("Create the webhook");
    await page.locator(".once").waitFor();
    assert.match(await page.locator(".once .copyable code").first().innerText(), /^whsec_/);
    // A test, and its verdict.
    await press("Send a test with it alone");
    await page.getByText("The receiver took a signed test message").waitFor();
    await press("Back to the webhook");
    await page.waitForURL(/webhooks\/[0-9a-f-]{36}$/);
    const webhook = page.url();
    await press("What the receiver got");
    await page.waitForURL(/play\//);
    await says("Test message");
    await says("Verified");
    // It fails, and is watched.
    await press("500");
    await page.getByText("Saved.").waitFor();
    const receiver = page.url().split("?")[0];
    await world.api("POST", "/v1/integrations", { ApplicationId: world.ids.spa, EnterpriseId: world.ids.hotel, Name: "Hamam" });
    await page.goto(`${world.base}/dashboard/deliveries?WebhookId=${webhook.split("/").at(-1)}`);
    for (let tries = 0; !(await page.content()).includes("server_error"); tries += 1) {
      assert.ok(tries < 200, "the failure does not appear");
      await page.reload();
    }
    await foreign();
    await press("IntegrationCreated");
    await page.waitForURL(/deliveries\/[0-9a-f-]{36}$/);
    const delivery = page.url();
    await says("The receiver failed with a 5xx status.");
    await says("Look in the receiver's log");
    // Mended, and sent again.
    await page.goto(receiver);
    await press("200");
    await page.getByText("Saved.").waitFor();
    await page.goto(delivery);
    await press("Send again now");
    await page.waitForURL(/Done=replay/);
    for (let tries = 0; !(await page.content()).includes("The receiver took it at attempt"); tries += 1) {
      assert.ok(tries < 200, "it does not arrive");
      await page.reload();
    }
    // What is not theirs is not there.
    for (const path of [`/webhooks/${world.ids.good}`, `/applications/${world.ids.keys}`, "/keys", "/audit", "/enterprises"]) {
      const answer = await page.goto(`${world.base}/dashboard${path}`);
      assert.ok([403, 404].includes(answer.status()), path);
      // The id that was asked for is no news.
      await foreign(names);
    }
    assert.deepEqual(seen, { outside: [], violations: [], errors: [] });
    await context.close();
  });
}

test("the palette goes anywhere by keyboard", async () => {
  const { context, page, seen } = await visitor(browser, world);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("audit");
  await page.getByRole("option", { name: /Audit/ }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/dashboard\/audit$/);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("acme");
  await page.getByRole("option", { name: /Acme Keys/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await page.waitForURL(/applications\//);
  await page.keyboard.press("Control+k");
  assert.equal(await page.locator("dialog[open]").count(), 1);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);
  assert.deepEqual(seen, { outside: [], violations: [], errors: [] });
  await context.close();
});
