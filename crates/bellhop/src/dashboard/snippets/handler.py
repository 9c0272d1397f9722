"""A receiver of Bellhop's webhooks that trusts nothing but what is signed. Python 3, no packages."""

import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
seen = {}  # A database in earnest: the greatest sequence of each integration.


def is_signed(headers, body):
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256))
    # During a rotation there are several: one that matches is enough.
    items = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, item) for item in items)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))  # The bytes, before anything parses them.
        if not is_signed(self.headers, body):
            return self.answer(401)
        message = json.loads(body)
        integration = message["Data"]["Integration"]["Id"]
        # The id is signed, and ends with the sequence. That of a test begins with msg_test_.
        message_id = self.headers["webhook-id"]
        sequence = 0 if message_id.startswith("msg_test_") else int(message_id.rpartition("_")[2])
        if sequence == 0 or sequence > seen.get(integration, 0):
            print(message["Action"], integration, flush=True)  # Store it durably here; work on it later.
            seen[integration] = sequence
        self.answer(204)  # Also for what was there before.

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver).serve_forever()
