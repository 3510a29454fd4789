"""Makes a bundle of a sealed invoice from the ledger. Reads only; the same state, the same bytes.

It is checked before it is handed out: what does not prove itself is not written.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from invoicing.bundles.check import check_bundle
from invoicing.bundles.files import (
    HEAD,
    MANIFEST,
    READING_COLUMNS,
    READINGS,
    README,
    WINDOW_COLUMNS,
    WINDOWS,
    manifest,
    table,
)
from invoicing.bundles.words import readme
from invoicing.digest import text
from invoicing.document import Document, Priced
from invoicing.documents.render import pdf
from invoicing.evidence import READINGS as READINGS_OF
from invoicing.explaining.rows import Seal, Served, meters, rows, served, together
from invoicing.export import load, write
from pipeline.periods import closed
from schemas.errors import DifferenceError, RefusedError
from schemas.serial import instant_text
from sinks.audit_heads import stored
from sinks.database import Connection
from sinks.store.marks import marks

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every entry: the first that a ZIP can say."""


def bundle(conn: Connection, invoice_id: str, path: Path, language: str = "en") -> Path:
    """Writes the bundle and returns its path."""
    document, proof = load(conn, invoice_id)
    _refuse_dropped(conn, document)
    body = text(document)
    found = {
        f"{document.number}.json": body,
        f"{document.number}.pdf": pdf(document, body, proof, language),
        WINDOWS: table(WINDOW_COLUMNS, _windows(conn, document)),
        READINGS: table(READING_COLUMNS, _readings(conn, document)),
    }
    heads = stored(conn)
    if heads:
        found[HEAD] = f"{heads[-1]}\n".encode()
    found[README] = readme(document, language, found)
    found[MANIFEST] = manifest(document.number, proof, language, found)
    findings = check_bundle(found)
    if findings:
        raise DifferenceError(
            f"The ledger does not say of {document.number} what was sealed: {findings[0]}."
        )
    return write(path, _zipped(found))


def _zipped(found: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(found.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def priced_of(document: Document) -> list[Priced]:
    """Every pricing that the document holds."""
    return [*document.priced, *(one.priced for one in document.adjusted)]


def _served(document: Document) -> list[Served]:
    return together(
        part
        for one in priced_of(document)
        for part in served(one.scope, one.inputs.period, {item.item for item in one.scope.items})
    )


def _meters(document: Document) -> frozenset[str]:
    return frozenset[str]().union(*(meters(one.scope) for one in priced_of(document)))


def _seals(conn: Connection, document: Document) -> list[Seal]:
    """Which looks counted open windows: the seal's own, and those of what is corrected."""
    own = [Seal(one.scope.scope, document.period.start, 0) for one in document.priced]
    looks = conn.execute(
        "SELECT scope_id, period_start, look FROM adjustment WHERE invoice_id = %s",
        (document.invoice_id,),
    ).fetchall()
    return [*own, *(Seal(*row) for row in looks)]


def _windows(conn: Connection, document: Document) -> Iterator[Sequence[object]]:
    found = rows(conn, _served(document), _meters(document), _seals(conn, document))
    for row in found:
        if row.seen(document.cut):
            yield (
                row.server, row.meter, row.resource, instant_text(row.start), row.quantity,
                row.covered_ms, row.source, row.topic, row.partition, row.offset,
            )  # fmt: skip


def _readings(conn: Connection, document: Document) -> Iterator[Sequence[object]]:
    parts = _served(document)
    columns = {
        "line": list(range(len(parts))),
        "server": [part[0] for part in parts],
        "start": [part[1] for part in parts],
        "end": [part[2] for part in parts],
        "meters": sorted(_meters(document)),
    }
    kept = conn.execute(READINGS_OF, columns).fetchall() if parts else []
    shown = {
        (server, meter, resource, origin, instant_text(at), *rest)
        for _, server, meter, resource, origin, at, *rest in kept
    }
    yield from sorted(shown)


def _refuse_dropped(conn: Connection, document: Document) -> None:
    dropped = marks(conn).dropped
    first = min(
        (one.inputs.period.start for one in priced_of(document)), default=closed(document.period)
    )
    if dropped is not None and first < dropped:
        raise RefusedError(
            f"Windows before {dropped:%Y-%m-%d} were dropped (RACKMETER_KEEP_WINDOWS_DAYS): there"
            f" is no bundle of {document.number}; its PDF and JSON verify without it."
        )
