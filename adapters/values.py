"""One value between a native record and a canonical field: the leaves that ``mapping`` puts together.

Every function here makes closures once, when a profile is loaded, so that nothing is looked up or decided
per call that the profile has decided already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from operator import methodcaller
from typing import Any, NamedTuple, cast

from adapters.converters import CONVERTERS, READS_EMPTY
from adapters.profile import FieldForm, Profile

Native = dict[str, Any]
#: In a native path: for each row of the list before it.
ROWS = "[]."
#: (record, root record) -> canonical value
Read = Callable[[Native, Native], Any]
#: (canonical value, record that is being made, root record that is being made)
Put = Callable[[Any, Native, Native], None]

#: ISO 4217 currencies whose minor unit is not a hundredth
MINOR_UNITS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


class Leaf(NamedTuple):
    """A scalar: ``read`` never sees an empty value, ``write`` takes any canonical value but None."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def parts_of(path: str) -> tuple[str, ...]:
    """The steps of a native path. What begins with ``@`` is one step, dots and all:
    ``Header.@odata.etag``."""
    above, at, name = path.partition("@")
    steps = [step for step in above.split(".") if step]
    return (*steps, at + name) if at else tuple(steps)


def getter(path: str) -> Callable[[Native], Any]:
    parts = parts_of(path)
    if len(parts) == 1:
        return methodcaller("get", path)

    def descend(native: Native) -> Any:
        found: Any = native
        for part in parts:
            if type(found) is not dict:
                return None
            found = cast("Native", found).get(part)
        return found

    return descend


def setter(path: str) -> Callable[[Native, Any], None]:
    *above, last = parts_of(path)

    def put(native: Native, value: Any) -> None:
        for part in above:
            native = native.setdefault(part, {})
        native[last] = value

    return put


def rounded(amount: str, scale: int) -> str:
    """Half up, away from zero, as commercial systems round; an amount that fits is left as it is written."""
    _, _, decimals = amount.partition(".")
    if len(decimals) <= scale:
        return amount
    return format(Decimal(amount).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP), "f")


def spelled(amount: str, currency: str) -> str:
    """An amount with as many decimals as its currency has; more are kept only where they say something."""
    scale = MINOR_UNITS.get(currency, 2)
    if scale and amount[~scale:-scale] == ".":
        return amount
    whole, _, decimals = amount.partition(".")
    decimals = decimals.rstrip("0").ljust(scale, "0")
    return f"{whole}.{decimals}" if decimals else whole


def leaf(form: FieldForm, profile: Profile) -> Leaf:
    read, write = CONVERTERS[form.convert]
    if form.scale is not None:
        read, write = _scaled(Leaf(read, write), form.scale)
    if form.max_length is not None:
        read, write = _cut(Leaf(read, write), form.max_length)
    if form.prefix:
        read, write = _prefixed(Leaf(read, write), form.prefix)
    if form.values is not None:
        table = profile.values[form.values] if isinstance(form.values, str) else form.values
        return _coded(Leaf(read, write), table, typed=form.convert != "text")
    return Leaf(read, write)


def _scaled(inner: Leaf, scale: int) -> Leaf:
    read, write = inner

    def scaled(value: Any) -> Any:
        return write(rounded(value, scale))

    return Leaf(read, scaled)


def _prefixed(inner: Leaf, prefix: str) -> Leaf:
    def read(value: Any) -> Any:
        if type(value) is not str or not value.startswith(prefix):
            raise ValueError(f"does not begin with {prefix!r}")
        return inner.read(value.removeprefix(prefix))

    def write(value: Any) -> str:
        return prefix + inner.write(value)

    return Leaf(read, write)


def _cut(inner: Leaf, length: int) -> Leaf:
    def read(value: Any) -> Any:
        told = inner.read(value)
        # What fills its field may have been cut by the product itself, which then kept the blank that it cut at.
        filled = isinstance(value, str) and len(value) == length
        return told.rstrip() if filled and isinstance(told, str) else told

    def write(value: Any) -> Any:
        native = inner.write(value)
        # A blank where we cut would be trimmed by many products, and then look like a difference.
        return native if len(native) <= length else native[:length].rstrip()

    return Leaf(read, write)


def _coded(inner: Leaf, table: Mapping[str, str | list[str]], *, typed: bool) -> Leaf:
    reads: dict[str, str] = {}
    writes: dict[str, str] = {}
    for code, meaning in table.items():
        values = meaning if isinstance(meaning, list) else [meaning]
        reads[code] = values[0]
        for value in values:
            writes.setdefault(value, code)
    read, write = inner
    booleans = not typed and set(table) <= {"true", "false"}

    def decode(value: Any) -> str:
        if typed:
            value = read(value)
        code = value if type(value) is str else str(value).lower() if type(value) is bool else str(value)
        found = reads.get(code)
        if found is None:
            raise ValueError("is a code that the profile does not know")
        return found

    def encode(value: Any) -> Any:
        code = writes.get(value)
        if code is None:
            raise ValueError(f"is none of {', '.join(writes)}, which this product can hold")
        if booleans:
            return code == "true"
        return write(code) if typed else code

    return Leaf(decode, encode)


def scalar_read(form: FieldForm, profile: Profile) -> Read:
    assert form.path is not None
    get, read, default, empty = getter(form.path), leaf(form, profile).read, form.default, form.empty
    if isinstance(default, (dict, list)):
        return _copied(get, read, default)  # pyright: ignore[reportUnknownArgumentType]
    table = profile.values.get(form.values) if isinstance(form.values, str) else form.values
    if form.convert in READS_EMPTY or (table is not None and "" in table):
        return lambda native, root: read(get(native) or "")
    if form.convert == "text" and table is None and empty is None and not form.prefix:
        return _text_read(get, read, default, form.max_length)

    def decode(native: Native, root: Native) -> Any:
        value = get(native)
        if value is None or value == "" or (empty is not None and value is empty):
            return default
        return read(value)

    return decode


def _copied(get: Callable[[Native], Any], read: Callable[[Any], Any], default: Any) -> Read:
    def decode(native: Native, root: Native) -> Any:
        value = get(native)
        return default.copy() if value is None or value == "" else read(value)

    return decode


def _text_read(
    get: Callable[[Native], Any], read: Callable[[Any], Any], default: Any, length: int | None
) -> Read:
    """As by ``read``, without a call for what is text already."""

    def decode(native: Native, root: Native) -> Any:
        value = get(native)
        if type(value) is str:
            return (value.rstrip() if len(value) == length else value) or default
        return default if value is None else read(value)

    return decode


def scalar_put(form: FieldForm, profile: Profile) -> Put:
    assert form.path is not None
    put, write, default, empty = setter(form.path), leaf(form, profile).write, form.default, form.empty
    also = [setter(path) for path in form.also if ROWS not in path]
    if also:
        return _put_each([put, *also], write, default, empty)
    if len(parts_of(form.path)) == 1:
        key = form.path

        def flat(value: Any, native: Native, root: Native) -> None:
            if value is None:
                value = default
            native[key] = empty if value is None else write(value)

        return flat

    def deep(value: Any, native: Native, root: Native) -> None:
        if value is None:
            value = default
        put(native, empty if value is None else write(value))

    return deep


def _put_each(
    puts: list[Callable[[Native, Any], None]], write: Callable[[Any], Any], default: Any, empty: Any
) -> Put:
    def encode(value: Any, native: Native, root: Native) -> None:
        if value is None:
            value = default
        for put in puts:
            put(native, empty if value is None else write(value))

    return encode


def money_read(form: FieldForm, profile: Profile) -> Read:
    assert form.amount is not None
    get_amount, read = getter(form.amount), leaf(form, profile).read
    fixed, default = form.fixed_currency, form.default
    in_root = form.currency is not None and form.currency.startswith("/")
    get_currency = getter((form.currency or "").removeprefix("/"))

    def decode(native: Native, root: Native) -> Any:
        amount = get_amount(native)
        if amount is None or amount == "":
            return default
        currency = fixed or get_currency(root if in_root else native)
        if type(currency) is not str or not currency:
            raise ValueError("is an amount without its currency")
        return {"amount": spelled(read(amount), currency), "currency": currency}

    return decode


def money_put(form: FieldForm, profile: Profile, *, brings_currency: bool = False) -> Put:
    assert form.amount is not None
    put_amount, write = setter(form.amount), leaf(form, profile).write
    fixed, empty, default = form.fixed_currency, form.empty, form.default
    currency_path = form.currency or ""
    in_root = currency_path.startswith("/")
    currency_path = currency_path.removeprefix("/")
    # An amount of a fixed currency has no path of its own for it: then these two are never called.
    get_currency, put_currency = getter(currency_path or "-"), setter(currency_path or "-")

    def encode(value: Any, native: Native, root: Native) -> None:
        if value is None:
            value = default
        if value is None:
            put_amount(native, empty)
            return
        currency = value["currency"]
        if fixed is not None or in_root:
            # An amount in another currency than the record's would silently become an amount of that
            # currency.
            expected = fixed or get_currency(root)
            if expected is None:
                if brings_currency:
                    put_currency(root, currency)
            elif expected != currency:
                raise ValueError(f"is in {currency}, but this product keeps it in {expected}")
        else:
            put_currency(native, currency)
        put_amount(native, write(value["amount"]))

    return encode
