// A receiver of Bellhop's webhooks that trusts nothing but what is signed. Node.js 20, no packages.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const SECRET = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const seen = new Map(); // A database in earnest: the greatest sequence of each integration.

function isSigned(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures = "" } = headers;
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const expected = Buffer.from(`v1,${createHmac("sha256", SECRET).update(content).digest("base64")}`);
  // During a rotation there are several: one that matches is enough.
  return signatures.split(" ").some((item) => {
    const given = Buffer.from(item);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces); // The bytes, before anything parses them.
  if (!isSigned(request.headers, body)) return response.writeHead(401).end();
  const { Action, Data } = JSON.parse(body);
  const integration = Data.Integration.Id;
  // The id is signed, and ends with the sequence. That of a test begins with msg_test_.
  const id = request.headers["webhook-id"];
  const sequence = id.startsWith("msg_test_") ? 0 : Number(id.split("_").at(-1));
  if (sequence === 0 || sequence > (seen.get(integration) ?? 0)) {
    console.log(Action, integration); // Store it durably here; work on it later.
    seen.set(integration, sequence);
  }
  response.writeHead(204).end(); // Also for what was there before.
}).listen(process.env.PORT ?? 9000, "127.0.0.1");
