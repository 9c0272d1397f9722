// Forty payloads through every field that an operator, a partner or a receiver fills: none fires, and none is ever near it,
// for the content security policy has nothing to forbid.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, visitor } from "../support/browser.mjs";
import { receiver, start, until } from "../support/world.mjs";

const PAYLOADS = JSON.parse(await readFile(new URL("../payloads.json", import.meta.url), "utf8")).map((text) => text.replaceAll("would()", "window.fired=1"));
const written = [];
let world, browser;

/** Each payload, wherever it can be written. */
async function fill(world) {
  const { api } = world;
  const odd = await receiver((request) => {
    const payload = PAYLOADS[Number(new URL(request.url, "http://x").pathname.slice(1))];
    return [500, payload, { "content-type": "text/html", "x-odd": payload.replaceAll(/[^\x20-\x7e]/g, "") }];
  });
  world.receivers.push(odd);
  for (const [place, payload] of PAYLOADS.entries()) {
    const enterprise = crypto.randomUUID();
    await api("PUT", `/v1/enterprises/${enterprise}`, { Name: payload });
    const application = (await api("POST", "/v1/applications", { Name: payload })).Id;
    const webhook = (await api("POST", `/v1/applications/${application}/webhooks`, {
      Url: `${odd.url}/${place}`, Description: payload, RetrySchedule: [0, 3600],
      Authentication: { Type: "Basic", Username: payload.replaceAll(/[^\x20-\x7e]|:/g, "").slice(0, 200), Password: "x" },
    })).Id;
    const integration = (await api("POST", "/v1/integrations", {
      ApplicationId: application, EnterpriseId: enterprise, Name: payload, Requestor: { Name: payload, Email: "front.desk@alpenblick.example" },
    })).Id;
    await api("POST", "/v1/keys", { Name: payload, Scope: "application", ApplicationId: application });
    written.push({ payload, enterprise, application, webhook, integration });
  }
  await until(async () => (await api("GET", "/v1/deliveries?Cause=server_error&Limit=1000")).Items.length === PAYLOADS.length);
  for (const each of written) {
    await api("POST", `/v1/webhooks/${each.webhook}/pause`, { Reason: each.payload });
    each.delivery = (await api("GET", `/v1/deliveries?WebhookId=${each.webhook}`)).Items[0].Id;
  }
}

before(async () => { [world, browser] = [await start({ seed: fill }), await launch()]; });
after(async () => { await browser?.close(); await world?.stop(); });

/** What every page must not have done, whatever is in it. */
async function judge(page, seen, path, payload) {
  await page.evaluate(() => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
  assert.equal(await page.evaluate(() => window.fired), undefined, `${path}: fired\n${payload}`);
  assert.deepEqual(seen, { outside: [], violations: [], errors: [] }, `${path}\n${payload}`);
}

test("in lists, where all of them are", async () => {
  const { context, page, seen } = await visitor(browser, world);
  for (const path of ["", "/deliveries", "/integrations", "/webhooks", "/applications", "/enterprises", "/keys", "/audit", "/play"]) {
    await page.goto(`${world.base}/dashboard${path}`);
    await judge(page, seen, path, "all");
  }
  // They were there, as text.
  await page.goto(`${world.base}/dashboard/applications`);
  const text = await page.locator("table").innerText();
  for (const { payload } of written) assert.ok(text.includes(payload.trim().replaceAll(/\s+/g, " ").slice(0, 20)), payload);
  await context.close();
});

test("on pages of their own, in addresses, and in forms that are refused", async () => {
  const { context, page, seen } = await visitor(browser, world);
  for (const { payload, ...ids } of written) {
    const query = encodeURIComponent(payload);
    for (const path of [
      `/applications/${ids.application}`, `/enterprises/${ids.enterprise}`, `/webhooks/${ids.webhook}`, `/webhooks/${ids.webhook}/credentials`,
      `/integrations/${ids.integration}`, `/deliveries/${ids.delivery}`, `/search?Text=${query}`,
      `/deliveries?State=${query}&Cause=${query}&FromUtc=${query}`, `/applications/${ids.application}/webhooks/new?Url=${query}&Description=${query}`,
    ]) {
      await page.goto(`${world.base}/dashboard${path}`);
      await judge(page, seen, path, payload);
    }
    await page.goto(`${world.base}/dashboard/webhooks/${ids.webhook}/debug-signature`);
    await page.getByLabel("Headers").fill(`webhook-id: ${payload}\nwebhook-timestamp: ${payload}\nwebhook-signature: ${payload}`);
    await page.getByLabel("Body").fill(payload);
    await page.getByRole("button", { name: "Find the mistake" }).click();
    await page.getByText("Not verified").first().waitFor();
    await judge(page, seen, "the debugger", payload);
  }
  await context.close();
});
