// The real server with a believable platform in it, and receivers that behave in their ways. Everything is on this machine.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const KEY = "the-operators-key-of-a-browser-test-0123456789";
export const BINARY = resolve(process.env.BELLHOP_BINARY ?? "../target/debug/bellhop");

/** What would fire if it were ever taken for markup. All of payloads.json go through every field in markup.test.mjs. */
export const PAYLOADS = [
  `<script>window.fired=1</script>`,
  `"><img src=x onerror=window.fired=1>`,
  `'-window.fired=1-'`,
  `</title></textarea></style><svg onload=window.fired=1>`,
  `<a href="javascript:window.fired=1" hx-on:load="window.fired=1">x</a>`,
];

/** Starts everything; `seed` fills it. */
export async function start({ seed = fill, isPlain = false } = {}) {
  const directory = await mkdtemp(join(tmpdir(), "bellhop-e2e-"));
  const receivers = await Promise.all([receiver(() => [204, ""]), receiver(failing), receiver(() => [200, `{"ok":true}`])]);
  const port = await freePort();
  const child = spawn(BINARY, ["serve", "--listen", `127.0.0.1:${port}`, "--data-dir", directory], {
    cwd: directory,
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      PATH: process.env.PATH,
      BELLHOP_OPERATOR_KEY: KEY,
      BELLHOP_EGRESS_ALLOW: "127.0.0.0/8",
      BELLHOP_LOG: "error",
      BELLHOP_LOG_FORMAT: "json",
      BELLHOP_DRAIN_SECONDS: "1",
    },
  });
  const world = {
    base: `http://127.0.0.1:${port}`,
    key: KEY,
    receivers,
    ids: {},
    /** What is odd on purpose, or plain, for pictures. */
    odd: (place, plain) => (isPlain ? plain : PAYLOADS[place]),
    api: (method, path, body) => api(`http://127.0.0.1:${port}`, method, path, body),
    async stop() {
      const ended = child.exitCode === null && once(child, "exit");
      child.kill("SIGTERM");
      await ended;
      for (const { server } of receivers) server.closeAllConnections(), server.close();
      await rm(directory, { recursive: true, force: true });
    },
    /** A fresh link to sign in. */
    async link() {
      const answer = await fetch(`${world.base}/dashboard/links`, { method: "POST", headers: { authorization: `Bearer ${KEY}` } });
      return world.base + (await answer.json()).Path;
    },
    /** A page, as the operator sees it. */
    async look(path) {
      const signedIn = await fetch(await world.link(), { method: "POST", redirect: "manual" });
      const cookie = signedIn.headers.get("set-cookie").split(";")[0];
      const page = await fetch(world.base + path, { headers: { cookie } });
      if (!page.ok) throw new Error(`${path}: ${page.status}`);
      return page.text();
    },
    file: () => readFile(join(directory, "sign-in-link"), "utf8"),
  };
  // Whatever becomes of the test, no server is left behind.
  process.on("exit", () => child.kill("SIGKILL"));
  await ready(world.base, child);
  try {
    await seed(world);
  } catch (error) {
    await world.stop();
    throw error;
  }
  return world;
}

/** A platform with everything that a page can show. */
async function fill(world) {
  const { api, receivers, ids, odd } = world;
  const enterprise = async (name) => {
    const id = crypto.randomUUID();
    await api("PUT", `/v1/enterprises/${id}`, { Name: name });
    return id;
  };
  const application = async (name) => (await api("POST", "/v1/applications", { Name: name })).Id;
  const webhook = async (of, settings) => (await api("POST", `/v1/applications/${of}/webhooks`, settings)).Id;
  const integration = (ApplicationId, EnterpriseId, Name, more = {}) =>
    api("POST", "/v1/integrations", { ApplicationId, EnterpriseId, Name, ...more });

  ids.hotel = await enterprise("Alpenblick Hotels");
  ids.hostel = await enterprise("Harbour Hostel");
  await enterprise(odd(1, "Old Mill Guesthouse"));
  ids.keys = await application("Acme Keys");
  ids.spa = await application("Spa Planner");
  ids.odd = await application(odd(0, "Night Audit"));
  await application("Not connected yet");

  ids.good = await webhook(ids.keys, { Url: `${receivers[0].url}/hooks?token=canary`, Description: "Production", Headers: { "X-Api-Key": "canary" } });
  ids.bad = await webhook(ids.keys, { Url: `${receivers[1].url}/in`, Description: "Staging", RetrySchedule: [0, 3600] });
  ids.refused = await webhook(ids.spa, { Url: `http://127.0.0.1:${await freePort()}/in`, RetrySchedule: [0] });
  ids.paused = await webhook(ids.spa, { Url: `${receivers[2].url}/in`, Description: odd(3, "Planner’s inbox"), Actions: ["IntegrationCreated"] });
  await api("POST", `/v1/webhooks/${ids.paused}/pause`, { Reason: odd(0, "moving to another host") });
  ids.play = "fedcba9876543210fedcba9876543210";
  // Opened by whoever looks at it first: here, before anything is sent.
  await world.look(`/dashboard/play/${ids.play}`);
  ids.played = await webhook(ids.odd, { Url: `http://play.bellhop.internal/${ids.play}`, Description: odd(1, "Built-in receiver") });
  ids.quiet = await webhook(ids.odd, { Url: `${receivers[2].url}/in` });

  const person = { Name: odd(2, "Front desk"), Email: "front.desk@alpenblick.example" };
  ids.north = (await integration(ids.keys, ids.hotel, "North Wing", { Requestor: person })).Id;
  ids.south = (await integration(ids.keys, ids.hostel, odd(4, "Dormitory"))).Id;
  await integration(ids.odd, ids.hotel, "Roof garden");
  ids.annex = (await integration(ids.spa, ids.hotel, "Annex")).Id;
  for (const command of ["disable", "enable", "cancel", "reinstate", "regenerate-access-token"]) {
    await api("POST", `/v1/integrations/${ids.north}/${command}`, { Requestor: person });
  }
  await api("POST", `/v1/integrations/${ids.annex}/disable`);
  ids.gone = (await integration(ids.spa, ids.hostel, "Pool bar")).Id;
  await api("DELETE", `/v1/integrations/${ids.gone}`);
  ids.key = (await api("POST", "/v1/keys", { Name: "Gateway", Scope: "introspect" })).Id;
  await api("POST", "/v1/keys", { Name: odd(1, "Acme’s backend"), Scope: "application", ApplicationId: ids.keys });

  const settled = await until(async () => {
    const list = async (query) => (await api("GET", `/v1/deliveries?${query}&Limit=1000`)).Items;
    const [delivered, retrying, failed] = await Promise.all([
      list(`WebhookId=${ids.good}&State=Delivered`), list(`WebhookId=${ids.bad}&Cause=server_error`), list(`WebhookId=${ids.refused}&State=Failed`),
    ]);
    return delivered.length >= 6 && retrying.length >= 2 && failed.length >= 2 && { delivered, retrying, failed };
  });
  ids.delivered = settled.delivered.at(-1).Id;
  ids.retrying = settled.retrying[0].Id;
  ids.failed = settled.failed[0].Id;
  ids.waiting = (await api("GET", `/v1/deliveries?WebhookId=${ids.bad}&State=Pending`)).Items.find((each) => each.NextAttemptUtc === null).Id;
  const preview = await api("POST", "/v1/replays", { DryRun: true, WebhookId: ids.good, State: "Delivered" });
  ids.replay = (await api("POST", "/v1/replays", { Token: preview.Token })).Id;
  await until(async () => (await api("GET", `/v1/replays/${ids.replay}`)).State === "Completed");
}

/** Answers 500 with a body that would fire, and a header too. */
function failing() {
  return [500, `<html>${PAYLOADS.join("")}</html>`, { "x-odd": PAYLOADS[1] }];
}

export async function receiver(behave) {
  const got = [];
  const server = createServer((request, response) => {
    const body = [];
    request.on("data", (piece) => body.push(piece));
    request.on("end", () => {
      got.push({ headers: request.headers, body: Buffer.concat(body).toString() });
      const [status, text, headers] = behave(request);
      response.writeHead(status, headers).end(text);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, got, url: `http://127.0.0.1:${server.address().port}` };
}

async function api(base, method, path, body) {
  const answer = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

async function ready(base, child) {
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const answer = await fetch(`${base}/readyz`).catch(() => null);
    return answer?.ok;
  });
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Asks again until there is an answer, for half a minute. */
export async function until(ask) {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const answer = await ask();
    if (answer) return answer;
    await sleep(50);
  }
  throw new Error("it did not happen within 30 s");
}

/** Every page, each with what it shows. */
export function pages({ ids }) {
  return {
    overview: "/dashboard",
    deliveries: "/dashboard/deliveries",
    "deliveries filtered": `/dashboard/deliveries?WebhookId=${ids.bad}&State=Pending&Cause=server_error`,
    "deliveries, none": "/dashboard/deliveries?Cause=gone",
    "deliveries, not understood": "/dashboard/deliveries?FromUtc=yesterday",
    "delivery delivered": `/dashboard/deliveries/${ids.delivered}`,
    "delivery retrying": `/dashboard/deliveries/${ids.retrying}`,
    "delivery waiting": `/dashboard/deliveries/${ids.waiting}`,
    "delivery failed": `/dashboard/deliveries/${ids.failed}`,
    integrations: "/dashboard/integrations",
    "integrations, none": "/dashboard/integrations?State=Canceled",
    "integration": `/dashboard/integrations/${ids.north}`,
    "integration deleted": `/dashboard/integrations/${ids.gone}`,
    "integration, new": "/dashboard/integrations/new",
    "integration, delete": `/dashboard/integrations/${ids.north}/delete`,
    webhooks: "/dashboard/webhooks",
    "webhook good": `/dashboard/webhooks/${ids.good}`,
    "webhook bad": `/dashboard/webhooks/${ids.bad}`,
    "webhook paused": `/dashboard/webhooks/${ids.paused}`,
    "webhook quiet": `/dashboard/webhooks/${ids.quiet}`,
    "webhook settings": `/dashboard/webhooks/${ids.good}/settings`,
    "webhook rotation": `/dashboard/webhooks/${ids.good}/rotate-secret`,
    "webhook signatures": `/dashboard/webhooks/${ids.good}/signatures`,
    "webhook credentials": `/dashboard/webhooks/${ids.good}/credentials`,
    "webhook backfill": `/dashboard/webhooks/${ids.quiet}/backfill`,
    "webhook, a signature": `/dashboard/webhooks/${ids.good}/debug-signature`,
    "webhook over a week": `/dashboard/webhooks/${ids.bad}?Window=7d`,
    "webhook deletion": `/dashboard/webhooks/${ids.good}/delete`,
    "webhook, new": `/dashboard/applications/${ids.keys}/webhooks/new`,
    applications: "/dashboard/applications",
    application: `/dashboard/applications/${ids.keys}`,
    "application odd": `/dashboard/applications/${ids.odd}`,
    enterprises: "/dashboard/enterprises",
    enterprise: `/dashboard/enterprises/${ids.hotel}`,
    replays: "/dashboard/replays",
    replay: `/dashboard/replays/${ids.replay}`,
    "replay, preview": `/dashboard/replays/new?WebhookId=${ids.refused}&State=Failed`,
    catalogue: "/dashboard/catalogue",
    "catalogue, one": "/dashboard/catalogue/IntegrationCreated",
    receivers: "/dashboard/play",
    receiver: `/dashboard/play/${ids.play}`,
    "receiver, empty": "/dashboard/play/0123456789abcdef0123456789abcdef",
    keys: "/dashboard/keys",
    "key, rotate": `/dashboard/keys/${ids.key}/rotate`,
    audit: "/dashboard/audit",
    "audit, filtered": "/dashboard/audit?Action=WebhookCreated",
    "audit, not understood": "/dashboard/audit?FromUtc=yesterday",
    "key, delete": `/dashboard/keys/${ids.key}/delete`,
    "operational messages": "/dashboard/operational-messages",
    "search, empty": "/dashboard/search",
    "search, id": `/dashboard/search?Text=${ids.north}`,
    "search, name": "/dashboard/search?Text=alp",
    "search, nothing": `/dashboard/search?Text=${encodeURIComponent(PAYLOADS[0])}`,
    "not found": "/dashboard/deliveries/00000000-0000-0000-0000-000000000000",
  };
}
