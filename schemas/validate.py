"""The rules of the wire, and a sentence for whoever broke one. Pure: bytes in, an answer out.

``explain`` decides what no faster reader is sure about, so it alone defines what a report is:

- Any legal spelling of the JSON counts: order of fields, escapes, white space and new lines between
  tokens. Bodies are read one by one and never joined, so a new line cannot make two reports of one.
- A key that appears twice, anywhere, is refused: two readers could read two different reports.
- ``NaN`` and ``Infinity`` are not JSON. Numbers are integers: no ``7.0``, no ``true``, no ``"7"``.
- The order of checks is size, JSON, version, fields, series; the first mistake is the one reported.
- Fields this version does not know are ignored, but must be JSON all the same.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic_core import ErrorDetails

from schemas.report import (
    MESSAGE_BYTES_MAX,
    NAME_CHARS_MAX,
    SERIES_MAX,
    VALUE_MAX,
    VERSION,
    Report,
)
from schemas.verdict import Verdict

TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, the last that datetime and ISO 8601 can write."""
SEQ_MAX: Final = 2**62
"""Leaves the sums and differences of two sequence numbers inside 64 bits."""
DEPTH_MAX: Final = 16
"""Deepest nesting of arrays and objects; a report needs two, the rest is room for unknown fields.
A bound of ours, because Python's own depends on how deep the caller already is."""

_INTEGER_CHARS_MAX = 20
"""More characters than any allowed integer has, so what is cut here stays out of range."""
_SHOWN_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not admitted, in one sentence that says what to mend."""

    reason: Verdict
    detail: str


Time = Annotated[int, Field(ge=0, le=TIME_MS_MAX, description=f"an integer 0 … {TIME_MS_MAX}")]
Server = Annotated[
    str,
    Field(
        pattern=rf"^[^\x00-\x1f\x7f-\x9f]{{1,{NAME_CHARS_MAX}}}$",
        description=f"a string of 1 … {NAME_CHARS_MAX} characters, no control characters",
    ),
]
Origin = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9-]{1,64}$", description="1 … 64 letters, digits and hyphens (ASCII)"
    ),
]
Meter = Annotated[str, Field(pattern=rf"^[^\x00]{{1,{NAME_CHARS_MAX}}}$")]
Resource = Annotated[str, Field(pattern=rf"^[^\x00]{{0,{NAME_CHARS_MAX}}}$")]
Value = Annotated[int, Field(ge=0, le=VALUE_MAX)]


def _array(of: str) -> Any:
    allowed = f"an array of 1 … {SERIES_MAX} {of}"
    return Field(min_length=1, max_length=SERIES_MAX, description=allowed)


class _Body(BaseModel):
    """The fields of a report, in the order of the wire. A description says what is allowed."""

    model_config = ConfigDict(strict=True, extra="ignore")

    server: Server
    origin: Origin
    since_ms: Time
    seq: int = Field(ge=1, le=SEQ_MAX, description=f"an integer 1 … {SEQ_MAX}")
    at_ms: Time
    at_up_ms: Time
    sent_up_ms: Time
    meter: Annotated[list[Meter], FailFast()] = _array(
        f"strings of 1 … {NAME_CHARS_MAX} characters, no NUL, no lone surrogates"
    )
    resource: Annotated[list[Resource], FailFast()] = _array(
        f"strings of at most {NAME_CHARS_MAX} characters, no NUL, no lone surrogates"
    )
    value: Annotated[list[Value], FailFast()] = _array(f"integers 0 … {VALUE_MAX}")


def explain(body: bytes) -> Report | Refusal:
    """Read one body by every rule of the wire."""
    if len(body) > MESSAGE_BYTES_MAX:
        limit = f"the body has {len(body)} bytes: at most {MESSAGE_BYTES_MAX} are allowed"
        return Refusal(Verdict.OVERSIZED, limit)
    if not body:
        return _malformed("the body is empty: a report is a JSON object")
    try:
        fields = _parse(body)
    except ValueError as error:
        return _malformed(f"the body is not strict JSON in UTF-8: {error}")
    if not isinstance(fields, dict):
        return _malformed(f"the body is {shown(fields)}: it must be an object")
    return _wrong_version(fields) or _report(fields)


def shown(value: object) -> str:
    """A value as JSON for a sentence: ASCII, one line, cut to a length fit for a log."""
    match value:
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
        case bytes():
            text = ascii(value[: _SHOWN_CHARS_MAX + 1])
        case str():
            text = json.dumps(value[: _SHOWN_CHARS_MAX + 1])
        case _:
            text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"


def _malformed(detail: str) -> Refusal:
    return Refusal(Verdict.MALFORMED, detail)


# --- JSON -----------------------------------------------------------------------------------------

# Matches at every quote, even an unterminated one: it never starts again in the middle of a string,
# so its time is linear in the length.
_STRING = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)


def _parse(body: bytes) -> Any:
    """Strict JSON; raises ``ValueError`` with the reason."""
    text = body.decode("utf-8")
    _check_depth(text)
    return _DECODER.decode(text)


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            raise ValueError(f"it is nested deeper than {DEPTH_MAX} levels")


def _integer(digits: str) -> int:
    return int(digits[:_INTEGER_CHARS_MAX])


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {shown(key)} appears twice in one object")
        seen.add(key)
    return fields


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_constant=_constant, object_pairs_hook=_object, strict=True
)


# --- fields ---------------------------------------------------------------------------------------


def _wrong_version(fields: dict[str, Any]) -> Refusal | None:
    if "v" not in fields:
        return _malformed(f"v is missing: it names the version of the wire, {VERSION}")
    version = fields["v"]
    if type(version) is not int:
        return _malformed(f"v is {shown(version)}: it must be the integer {VERSION}")
    if version != VERSION:
        detail = f"v is {version}: this reader knows version {VERSION} only; upgrade it and replay"
        return Refusal(Verdict.UNKNOWN_VERSION, detail)
    return None


def _report(fields: dict[str, Any]) -> Report | Refusal:
    try:
        body = _Body.model_validate(fields)
    except ValidationError as error:
        return _malformed(_sentence(error.errors(include_url=False, include_context=False)[0]))
    if mistake := _wrong_series(body):
        return _malformed(mistake)
    return Report(
        body.server,
        body.origin,
        body.since_ms,
        body.seq,
        body.at_ms,
        body.at_up_ms,
        body.sent_up_ms,
        tuple(body.meter),
        tuple(body.resource),
        tuple(body.value),
    )


def _sentence(error: ErrorDetails) -> str:
    field, *index = error["loc"]
    where = f"{field}{''.join(f'[{i}]' for i in index)}"
    allowed = f"{field} must be {_Body.model_fields[str(field)].description}"
    if error["type"] == "missing":
        return f"{where} is missing: {allowed}"
    return f"{where} is {shown(error['input'])}: {allowed}"


def _wrong_series(body: _Body) -> str | None:
    sizes = len(body.meter), len(body.resource), len(body.value)
    if len(set(sizes)) > 1:
        detail = "meter, resource and value have {}, {} and {} entries: they must have equally many"
        return detail.format(*sizes)
    first: dict[tuple[str, str], int] = {}
    for i, series in enumerate(zip(body.meter, body.resource, strict=True)):
        if first.setdefault(series, i) != i:
            meter, resource = map(shown, series)
            return (
                f"meter {meter} with resource {resource} stands at {first[series]} and at {i}: "
                "a series may appear once"
            )
    return None
