"""JSON bodies whose numbers stay exact: read into Decimal, written as JSON numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from adapters.wire import Broken

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def decode(content: bytes) -> Any:
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Broken(f"the answer is not JSON: {error}") from error


def encode(value: Any) -> bytes:
    return _encode(value)
