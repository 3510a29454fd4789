"""A document as JSON that proves its content: digests of its parts and of the whole. Pure.

Each part (a field, or an element of a list) has a digest of its own, so that verification can say
which part was altered. The last digest covers everything, the other digests included.
"""

import json
from typing import Final, cast

from invoicing.document import Document
from schemas.serial import Json, digest, to_json

DIGESTS: Final = "digests"
DIGEST: Final = "digest"
INDENT: Final = "  "


def sealed(document: Document) -> dict[str, Json]:
    """The document with its digests, as stored, exported and attached."""
    body = cast("dict[str, Json]", to_json(document))
    with_parts: dict[str, Json] = {**body, DIGESTS: cast("Json", part_digests(body))}
    return {**with_parts, DIGEST: digest(with_parts)}


def part_digests(body: dict[str, Json]) -> dict[str, str]:
    """Path → digest, for every field and for every element of the lists."""
    found: dict[str, str] = {}
    for name, value in body.items():
        if isinstance(value, list):
            found |= {f"{name}[{i}]": digest(part) for i, part in enumerate(value)}
        else:
            found[name] = digest(value)
    return found


def text(document: Document) -> bytes:
    """The sealed document as a file: the same document gives the same bytes."""
    return (pretty(sealed(document)) + "\n").encode()


def pretty(value: Json, indent: str = "") -> str:
    """Objects over several lines, lists of plain values on one: a person can read it."""
    deeper = indent + INDENT
    if isinstance(value, dict) and value:
        rows = (f"{deeper}{_plain(key)}: {pretty(part, deeper)}" for key, part in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        rows = (f"{deeper}{pretty(part, deeper)}" for part in value)
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    return _plain(value)


def _plain(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
