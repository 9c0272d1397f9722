// Debian's Chromium, told to stay at home, and watched.

import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

/** A signed-in browser of this look. `seen` gathers what must not be. */
export async function visitor(browser, world, { colorScheme = "light", width = 1280, javaScriptEnabled = true, signedIn = true } = {}) {
  const context = await browser.newContext({
    colorScheme, javaScriptEnabled, viewport: { width, height: 900 }, reducedMotion: "reduce",
  });
  const seen = { outside: [], violations: [], errors: [] };
  await context.route("**/*", (route) => {
    const url = route.request().url();
    if (url.startsWith(world.base) || url.startsWith("data:")) return route.continue();
    seen.outside.push(url);
    return route.abort();
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    const text = message.text();
    if (/Content Security Policy|Refused to/i.test(text)) seen.violations.push(text);
    // A page that is not there is told so by its status, which the console repeats.
    else if (message.type() === "error" && !/status of 4\d\d/.test(text)) seen.errors.push(text);
  });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  if (javaScriptEnabled) {
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
  }
  if (signedIn) {
    await page.goto(await world.link());
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(`${world.base}/dashboard`);
  }
  return { context, page, seen };
}
