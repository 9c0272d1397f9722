"""What schemathesis must know of the API beyond its document; tests/it/under_attack.rs loads it."""

import itertools
import os

import schemathesis

_RUN = os.getpid()
_NUMBERS = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key stands for one request: the same key with another one is refused, as it must be, and no schema can say that.

    So each request has a key of its own. Keys that the document does not allow stay as they are.
    """
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive:
        return
    headers = case.headers or {}
    key = next((name for name in headers if name.lower() == "idempotency-key"), None)
    if key is None:
        return
    value = headers[key]
    is_fine = isinstance(value, str) and 0 < len(value) <= 255 and all("!" <= each <= "~" for each in value)
    if is_fine:
        own = f"-{_RUN}-{next(_NUMBERS)}"
        headers[key] = value[: 255 - len(own)] + own
