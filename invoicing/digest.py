"""A document as JSON that proves its content: digests of its parts and of the whole. Pure.

Each part (a field, or an element of a list) has a digest of its own, so that verification can say
which part was altered. The last digest covers everything, the other digests included.
"""

import json
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Final, cast

from invoicing.document import Document
from schemas.serial import Json, canonical_text, text_digest, text_of, to_json

DIGESTS: Final = "digests"
DIGEST: Final = "digest"
INDENT: Final = "  "


Part = bytes | list[bytes]
"""Canonical form of a field, or of each element of a list."""


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """A draft of which everything is written but its number, which is known last."""

    parts: dict[str, Part]
    digests: dict[str, str]


def unnumbered(draft: Document) -> Unnumbered:
    """Each part written and digested once."""
    parts: dict[str, Part] = {}
    digests: dict[str, str] = {}
    for field in fields(draft):
        name, value = field.name, getattr(draft, field.name)
        if isinstance(value, tuple):
            parts[name] = written = [text_of(part).encode() for part in value]
            digests |= {f"{name}[{i}]": sha256(part).hexdigest() for i, part in enumerate(written)}
        else:
            parts[name] = own = text_of(value).encode()
            digests[name] = sha256(own).hexdigest()
    return Unnumbered(parts, digests)


def finished(draft: Unnumbered, number: str) -> tuple[bytes, str]:
    """The sealed document as JSON, and its digest."""
    own = canonical_text(number)
    parts = {**draft.parts, "number": own}
    parts[DIGESTS] = canonical_text({**draft.digests, "number": sha256(own).hexdigest()})
    whole = b",".join(b'"%s":%s' % (name.encode(), _joined(parts[name])) for name in sorted(parts))
    proof = sha256(b"{%s}" % whole).hexdigest()
    return b'{%s,"digest":"%s"}' % (whole, proof.encode()), proof


def _joined(part: Part) -> bytes:
    return part if isinstance(part, bytes) else b"[%s]" % b",".join(part)


def sealed(document: Document) -> dict[str, Json]:
    """The document with its digests, as exported and attached."""
    body = cast("dict[str, Json]", to_json(document))
    draft = unnumbered(document)
    _, proof = finished(draft, document.number)
    return {**body, DIGESTS: cast("Json", draft.digests), DIGEST: proof}


def part_digests(body: dict[str, Json]) -> dict[str, str]:
    """Path → digest, for every field and for every element of the lists."""
    found: dict[str, str] = {}
    for name, value in body.items():
        if isinstance(value, list):
            found |= {f"{name}[{i}]": text_digest(part) for i, part in enumerate(value)}
        else:
            found[name] = text_digest(value)
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


_plain = json.JSONEncoder(ensure_ascii=False).encode
"""One encoder for all: ``json.dumps`` makes one a call."""
