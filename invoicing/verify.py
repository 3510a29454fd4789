"""Is this invoice what it says? From its file alone: no database, no network.

Reads the JSON, the PDF that carries it, or a bundle of both with all that was measured. What is
checked of the document is in ``invoicing.proof``, of a bundle in ``invoicing.bundles.check``.
"""

from pathlib import Path
from typing import Final

from invoicing.bundles.check import check_bundle, invoice_in, unpacked
from invoicing.proof import Finding, carried, shown_findings, verify_json
from schemas.errors import ConfigError

ZIP_MAGIC: Final = b"PK\x03\x04"
SIZE_BYTES_MAX: Final = 256 * 1024 * 1024
"""An invoice of ten thousand lines is a tenth of this; more is no invoice."""


def verify(path: Path) -> list[Finding]:
    """Everything in the file that does not agree; an empty list means that all of it does."""
    file = _opened(path)
    if file.startswith(ZIP_MAGIC):
        files, damaged = unpacked(file)
        return damaged or check_bundle(files)
    body = carried(file, path)
    findings = verify_json(body)
    if not findings and body is not file:
        findings = shown_findings(file, body)
    return findings


def content(path: Path) -> bytes:
    """The JSON that a file is, or carries."""
    file = _opened(path)
    if file.startswith(ZIP_MAGIC):
        return invoice_in(unpacked(file)[0])
    return carried(file, path)


def _opened(path: Path) -> bytes:
    try:
        if path.stat().st_size > SIZE_BYTES_MAX:
            raise ConfigError(f"{path} is too large to be an invoice.")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
