"""Is this bundle what it says? From the file alone: no database, no network.

Each file against the manifest, each row against its check, the invoice and its page by
``invoicing.proof``, and what was measured by ``invoicing.bundles.measured``. A finding names file
and place.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from typing import Any, Final

from invoicing.bundles.files import (
    FORMAT,
    HEAD,
    MANIFEST,
    READING_COLUMNS,
    READINGS,
    README,
    WINDOW_COLUMNS,
    WINDOWS,
    Table,
    altered_parts,
    read_manifest,
    read_table,
)
from invoicing.bundles.measured import readings_findings, windows_findings
from invoicing.bundles.words import TEXTS, names, readme
from invoicing.document import Document
from invoicing.proof import Finding, attached_findings, read, verify_json
from schemas.errors import ConfigError

SIZE_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Unpacked; a month of a thousand servers is a tenth of this."""


def unpacked(content: bytes) -> tuple[dict[str, bytes], list[Finding]]:
    """The files of a bundle, and those that cannot be read."""
    files: dict[str, bytes] = {}
    findings: list[Finding] = []
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        return {}, [Finding("bundle", f"is damaged: {error}")]
    if sum(entry.file_size for entry in archive.infolist()) > SIZE_BYTES_MAX:
        raise ConfigError("This is too large to be a bundle of an invoice.")
    for entry in archive.infolist():
        if entry.filename in files:
            findings.append(Finding(entry.filename, "is there twice"))
        try:
            files[entry.filename] = archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
                OSError) as error:  # fmt: skip
            findings.append(Finding(entry.filename, f"is damaged: {error}"))
    return files, findings


def check_bundle(files: dict[str, bytes]) -> list[Finding]:
    """Everything in it that does not agree; an empty list means that all of it does."""
    findings: list[Finding] = []
    try:
        for one in _findings(files):
            findings.append(one)  # noqa: PERF402 - those before a failure are kept
    except Exception as error:  # a stranger's file may hold anything
        findings.append(Finding("bundle", f"cannot be compared: {error!r}"))
    return findings


def _findings(files: dict[str, bytes]) -> Iterator[Finding]:
    try:
        body = read_manifest(files.get(MANIFEST, b""))
    except (ValueError, RecursionError) as error:
        yield Finding(MANIFEST, f"cannot be read: {error}")
        return
    for part in altered_parts(body):
        yield Finding(MANIFEST, f"{part} was altered: it does not have the digest stated for it")
    if body.get("format") != FORMAT:
        yield Finding(MANIFEST, f"{body.get('format')} is not {FORMAT}")
        return
    yield from _files(body, files)
    document, found = _invoice(body, files)
    yield from found
    if document is not None:
        yield from _content(body, document, files)


def invoice_in(files: dict[str, bytes]) -> bytes:
    """The JSON of the invoice that a bundle is about."""
    try:
        return files[f"{read_manifest(files[MANIFEST])['number']}.json"]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"This is no bundle of rackmeter: {error}.") from error


def _files(body: dict[str, Any], files: dict[str, bytes]) -> Iterator[Finding]:
    stated = {one["name"]: one for one in body["files"]}
    for name in sorted({*stated, *files} - {MANIFEST}):
        if name not in files:
            yield Finding(name, "is missing")
        elif name not in stated:
            yield Finding(name, "is not in the manifest")
        elif stated[name]["sha256"] != sha256(files[name]).hexdigest():
            yield Finding(name, "was altered: it does not have the SHA-256 of the manifest")
        elif stated[name]["bytes"] != str(len(files[name])):
            yield Finding(name, f"has {len(files[name])} bytes, not {stated[name]['bytes']}")


def _invoice(
    body: dict[str, Any], files: dict[str, bytes]
) -> tuple[Document | None, list[Finding]]:
    """The invoice, when it can be read; and what does not agree in it and on its page."""
    name = f"{body['number']}.json"
    content = files.get(name, b"")
    findings = [Finding(f"{name}: {one.where}", one.says) for one in verify_json(content)]
    if findings:
        return None, findings
    inside = json.loads(content)
    if inside["digest"] != body["invoice"]:
        findings.append(Finding(MANIFEST, f"is of another invoice than {name}"))
    page = f"{body['number']}.pdf"
    if find_spec("pypdf") is None or find_spec("typst") is None:
        return read(inside), findings  # the manifest has its SHA-256
    findings += [
        Finding(f"{page}: {one.where}", one.says)
        for one in attached_findings(files.get(page, b""), content, page)
    ]
    return read(inside), findings


def _content(
    body: dict[str, Any], document: Document, files: dict[str, bytes]
) -> Iterator[Finding]:
    """What lies beside the invoice, against it."""
    yield from (Finding(name, "is missing") for name in names(document) if name not in files)
    yield from _readme(document, str(body["language"]), files)
    yield from _head(files)
    windows, found = _table(files, WINDOWS, WINDOW_COLUMNS)
    yield from found
    readings, found = _table(files, READINGS, READING_COLUMNS)
    yield from found
    if not windows.altered:
        yield from windows_findings(document, windows)
    if not readings.altered:
        yield from readings_findings(document, readings)


def _readme(document: Document, language: str, files: dict[str, bytes]) -> Iterator[Finding]:
    if language not in TEXTS:
        yield Finding(MANIFEST, f"language {language} is not one of {', '.join(TEXTS)}")
        return
    stated = files.get(README, b"").split(b"\n")
    expected = readme(document, language, files).split(b"\n")
    for number in range(max(len(stated), len(expected))):
        if stated[number : number + 1] != expected[number : number + 1]:
            yield Finding(README, f"line {number + 1} is not what a bundle of this invoice says")


def _head(files: dict[str, bytes]) -> Iterator[Finding]:
    """The signature of the audit trail's end, where what checks it is installed."""
    if HEAD not in files:
        return
    try:
        from sinks.audit_heads import marks  # noqa: PLC0415 - needs the extra `server`
    except ImportError:
        return
    line = files[HEAD].decode(errors="replace").strip()
    try:
        ledger = json.loads(line)["ledger"]
    except (ValueError, KeyError, TypeError) as error:
        yield Finding(HEAD, f"cannot be read: {error!r}")
        return
    yield from (Finding(HEAD, one.what) for one in marks([line], ledger, (), HEAD)[1])


def _table(
    files: dict[str, bytes], name: str, columns: tuple[str, ...]
) -> tuple[Table, list[Finding]]:
    try:
        found = read_table(files.get(name, b""), columns)
    except (ValueError, RecursionError) as error:
        return Table([], [0]), [Finding(name, f"cannot be read: {error}")]
    said = "was altered: it does not have the check at its end"
    return found, [Finding(name, f"line {number} {said}") for number in found.altered]
