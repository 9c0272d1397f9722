// Pictures of every page, to look at: node support/shots.mjs FOLDER [part of a page's name] [plain]

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { launch, visitor } from "./browser.mjs";
import { pages, start } from "./world.mjs";

const [folder = "shots", part = "", plain] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const world = await start({ isPlain: plain === "plain" });
const browser = await launch();
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 360]) {
      const { context, page } = await visitor(browser, world, { colorScheme, width });
      for (const [name, path] of Object.entries(pages(world)).filter(([name]) => name.includes(part))) {
        await page.goto(world.base + path);
        const file = `${name.replaceAll(/[ ,]+/g, "-")}-${colorScheme}-${width}.png`;
        await page.screenshot({ path: join(folder, file), fullPage: true });
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
  await world.stop();
}
