"""A stored invoice as files: ``NUMBER.json`` and ``NUMBER.pdf``, whole or not at all.

Both are derived from the stored document and come out the same, byte for byte, at any time.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from invoicing.digest import DIGEST, DIGESTS, text
from invoicing.document import Document
from invoicing.documents.render import pdf
from invoicing.documents.words import LANGUAGES
from schemas.errors import ConfigError, DependencyError, DifferenceError, RefusedError
from schemas.serial import digest, from_json
from sinks.database import Connection


def export(
    conn: Connection, invoice_id: str, folder: Path, language: str | None = None
) -> list[Path]:
    """Writes both files and returns their paths; the page in the account's language."""
    if language is not None and language not in LANGUAGES:
        known = ", ".join(sorted(LANGUAGES))
        raise ConfigError(f'No invoice is written in "{language}"; languages are {known}.')
    document, proof = load(conn, invoice_id)
    language = language or _language(conn, document.buyer.account)
    body = text(document)
    return [
        write(folder / f"{document.number}.json", body),
        write(folder / f"{document.number}.pdf", pdf(document, body, proof, language)),
    ]


def _language(conn: Connection, account: str) -> str:
    row = conn.execute("SELECT language FROM account WHERE account_id = %s", (account,)).fetchone()
    return row[0] if row and row[0] in LANGUAGES else "en"


def load(conn: Connection, invoice_id: str) -> tuple[Document, str]:
    """The stored document and its digest; one that was tampered with is not handed out."""
    row = conn.execute(
        "SELECT document, digest FROM invoice WHERE invoice_id = %s", (invoice_id,)
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no invoice {invoice_id}.")
    stored, proof = row
    document = read(stored)
    without = {key: value for key, value in stored.items() if key != DIGEST}
    if stored.get(DIGEST) != proof or digest(without) != proof:
        raise DifferenceError(f"Invoice {document.number} in the database is not what was sealed.")
    return document, proof


def read(stored: dict[str, Any]) -> Document:
    """The document inside its digests."""
    body = {key: value for key, value in stored.items() if key not in (DIGEST, DIGESTS)}
    return from_json(Document, body)


def write(path: Path, body: bytes) -> Path:
    """The whole file under its name, or nothing: a temporary file beside it, then a rename."""
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            name = file.name
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        if name is not None:
            with contextlib.suppress(OSError):
                Path(name).unlink()
        reason = error.strerror or str(error)
        raise DependencyError(
            f"{path} cannot be written: {reason}. The invoice itself is safe; export it again."
        ) from error
    return path
