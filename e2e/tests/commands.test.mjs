// Each command of the operator, by keyboard alone, with JavaScript and without.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, visitor } from "../support/browser.mjs";
import { keyboard } from "../support/keyboard.mjs";
import { start } from "../support/world.mjs";

const TOKEN = /^[0-9A-F]{32}-[0-9A-F]{31}$/;

/** What is done with each thing. */
const JOBS = {
  async "applications and their partners"({ go, press, type, says, once }) {
    await go("/applications");
    await type("Name", "Late Checkout");
    await press("Add");
    await says("Created.");
    await type("Name", "Late Check-out");
    await press("Rename");
    await says("Late Check-out");
    await press("Make a link for the partner");
    assert.match(await once(), /^\/dashboard\/sign-in\//);
  },

  async "a webhook, from its form to its end"({ world, go, press, type, tick, says, once, page }) {
    await go(`/applications/${world.ids.keys}`);
    await press("New webhook");
    await type("Url", "ftp://h.example/");
    await press("Create the webhook");
    await says("Url");
    await type("Url", `${world.receivers[2].url}/late?secret=canary-of-a-query`);
    await type("Description", "Late");
    await press("Create the webhook");
    assert.match(await once(), /^whsec_/);
    await press("To the webhook");
    const path = new URL(page.url()).pathname.replace("/dashboard", "");
    assert.ok(!(await page.content()).includes("canary-of-a-query"));
    await press("Send a test");
    await says("The receiver took a signed test message");
    await press("Back to the webhook");
    await press("Pause…");
    await type("Reason", "moving house");
    await press(/^Pause$/);
    await says("moving house");
    await press("Enable, and send what is held");
    await says("Enabled.");
    await press("Change");
    await type("Time-out in seconds", "99");
    await press("Save");
    await says("TimeoutSeconds");
    await type("Time-out in seconds", "20");
    await tick("IntegrationDisabled");
    await press("Save");
    await says("20.0 s");
    await press("Rotate the secret");
    await press("Rotate the secret");
    assert.match(await once(), /^whsec_/);
    await press("Send a test with it alone");
    await says("The receiver took a signed test message");
    await go(`${path}/backfill`);
    await press("Count again");
    await press(/^Send \d+ message/);
    await says("Started.");
    await go(path);
    await press("Delete…");
    await press("Delete the webhook");
    await says("Deleted.");
  },

  async "how a webhook signs and says who it is"({ world, go, press, type, tick, says, page }) {
    const path = `/webhooks/${world.ids.quiet}`;
    await go(`${path}/signatures`);
    await tick("v1a");
    await press("Save");
    await says("Public key");
    await go(`${path}/credentials`);
    await press("Bearer token");
    await type(/^Token$/, "canary-of-a-token");
    await press("Set it");
    await says("bearer token");
    assert.ok(!(await page.content()).includes("canary-of-a-token"));
    await press("Send no Authorization");
    await says("Saved.");
    await go(`${path}/debug-signature`);
    await type("Headers", "webhook-id: msg_1\nwebhook-timestamp: 1614265330\nwebhook-signature: v1,AAAA");
    await type("Body", "{}");
    await press("Find the mistake");
    await says("Not verified");
  },

  async "an integration, through its life"({ world, go, press, type, says, once, page }) {
    await go(`/integrations/new?ApplicationId=${world.ids.spa}&EnterpriseId=${world.ids.hotel}`);
    await type("Name", "Sauna");
    await press("Create the integration");
    assert.match(await once(), TOKEN);
    await press("To the integration");
    const path = new URL(page.url()).pathname.replace("/dashboard", "");
    for (const command of ["Disable", "Enable", "Cancel", "Reinstate"]) {
      await press(command);
      // What cannot be taken back asks first.
      if (await page.getByRole("link", { name: "Leave it as it is" }).count()) await press(command);
      await says("Done.");
    }
    await go(`${path}/disable`);
    await type("Name", "Front desk");
    await press("Disable");
    await says("Requestor/Email");
    await type("E-mail", "front.desk@alpenblick.example");
    await press("Disable");
    await says("Asked for by Front desk");
    await go(path);
    await press("Regenerate");
    await press("Regenerate");
    assert.match(await once(), TOKEN);
    await go(path);
    await press("Delete…");
    await press("Delete");
    await says("It is gone for good");
  },

  async "deliveries and replays"({ world, go, press, type, says }) {
    await go(`/deliveries/${world.ids.retrying}`);
    await press("Discard…");
    await type("Why", "no longer wanted");
    await press("Discard this delivery");
    await says("no longer wanted");
    await press("Send again now");
    await says("It will be sent again now.");
    await go("");
    await press("Replay the failed");
    await press(/^Replay \d+ deliver/);
    await says("Started.");
    // To a webhook that is paused, a replay has no end.
    await go(`/webhooks/${world.ids.good}`);
    await press("Pause…");
    await press(/^Pause$/);
    await go(`/deliveries?WebhookId=${world.ids.good}&State=Delivered`);
    await press("Replay these");
    await press(/^Replay \d+ deliver/);
    await says("Started.");
    await press("Pause");
    await says("Paused");
    await press("Resume");
    await says("Running");
    await press("Cancel");
    await says("Canceled");
  },

  async "enterprises, keys and receivers"({ go, press, type, choose, says, once, page }) {
    await go("/enterprises");
    await type("Name", "Mill House");
    await press("Add");
    await says("Mill House");
    await go("/keys");
    await type("Name", "Reader");
    await choose("Scope", "introspect");
    await press("Make the key");
    assert.match(await once(), /^bhk_/);
    await go("/keys");
    await press("Rotate…");
    await press("Rotate the key");
    assert.match(await once(), /^bhk_/);
    await go("/keys");
    await press("Delete…");
    await press("Delete the key");
    await says("Deleted.");
    await go("/play");
    await press("Make a receiver");
    await press("410");
    await says("Saved.");
  },

  async "what is looked for, how it looks, and the way out"({ world, go, press, type, enter, says, page }) {
    await go("/audit?Action=WebhookUpdated");
    await says("Holds");
    await page.locator("main table, main ol").getByText("WebhookUpdated").first().waitFor();
    await type("Search", "Alpenblick");
    await enter();
    await says("Alpenblick Hotels");
    await press("Colours: Dark");
    await page.locator("html[data-theme=dark]").waitFor();
    await press("Sign out");
    await page.goto(`${world.base}/dashboard`);
    assert.ok(page.url().endsWith("/dashboard/sign-in"));
  },
};

for (const javaScriptEnabled of [true, false]) {
  test(`each command by keyboard, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async (whole) => {
    const [world, browser] = [await start(), await launch()];
    try {
      const { page, seen } = await visitor(browser, world, { javaScriptEnabled });
      const hands = keyboard(page);
      const tools = {
        ...hands,
        page,
        world,
        go: (path) => page.goto(`${world.base}/dashboard${path}`),
        says: (text) => page.locator("main").getByText(text).first().waitFor({ timeout: 10_000 }),
        /** What is shown this once. */
        once: () => page.locator(".once .copyable code").first().innerText({ timeout: 10_000 }),
      };
      for (const [name, job] of Object.entries(JOBS)) await whole.test(name, () => job(tools));
      assert.deepEqual(seen, { outside: [], violations: [], errors: [] });
    } finally {
      await browser.close();
      await world.stop();
    }
  });
}
