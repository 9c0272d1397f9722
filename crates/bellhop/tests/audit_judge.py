"""Verifies an export of the audit log from standard input, as docs/audit.md describes it. Standard library alone."""

import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def field(text):
    if text is None:
        return b"-,"
    data = text.encode("utf-8")
    return b"%d:%s," % (len(data), data)


def encoded(entry):
    at = datetime.fromisoformat(entry["AtUtc"])
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
    return b"".join(
        map(
            field,
            [
                "1",
                entry["Id"],
                str(milliseconds),
                entry["Action"],
                entry["Actor"],
                entry["ActorId"],
                entry["ActorName"],
                entry["FromAddress"],
                entry["RequestId"],
                entry["Subject"],
                entry["SubjectId"],
                entry["ApplicationId"],
                entry["Details"],
            ],
        )
    )


position, head = 0, bytes(32)
for number, line in enumerate(sys.stdin.buffer, 1):
    entry = json.loads(line)
    position += 1
    if entry["Position"] != position or entry["Previous"] != head.hex():
        sys.exit(f"line {number} does not follow from the line before")
    head = hashlib.sha256(head + encoded(entry)).digest()
    if entry["Hash"] != head.hex():
        sys.exit(f"line {number} is not what was written")
print(position, head.hex())
