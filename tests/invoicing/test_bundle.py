"""A bundle verifies with nothing but itself, and no altered digit of it passes."""

import io
import os
import random
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from invoicing.bundles.check import check_bundle, unpacked
from invoicing.bundles.files import (
    HEAD,
    MANIFEST,
    READINGS,
    README,
    WINDOW_COLUMNS,
    WINDOWS,
    manifest,
    read_manifest,
    read_table,
    table,
)
from invoicing.bundles.make import bundle
from invoicing.explain import explain_file
from invoicing.verify import content, verify
from schemas.errors import DifferenceError, RefusedError
from sinks.audit import ledger_id, tip
from sinks.audit_heads import Head, Signer, line, store
from sinks.database import Connection, connect
from tests.invoicing.scenario import FOLDER, close_month, play
from tests.invoicing.test_close_models import closed, conn
from tests.invoicing.worlds import START, month_of

__all__ = ["conn"]
SAMPLES = 10
"""Altered digits of each file; a run says its seed, RACKMETER_SEED repeats it."""
FIRST = "RM-2026-000001"


def bundled(conn: Connection, number: str, path: Path, language: str = "en") -> Path:
    row = conn.execute("SELECT invoice_id::text FROM invoice WHERE number = %s", (number,))
    found = row.fetchone()
    assert found is not None
    return bundle(conn, found[0], path / f"{number}.zip", language)


def files_of(path: Path) -> dict[str, bytes]:
    files, damaged = unpacked(path.read_bytes())
    assert damaged == []
    return files


def zipped(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


@pytest.fixture
def everything(conn: Connection, billing_url: str, tmp_path: Path) -> Path:
    """A bundle of an invoice with every kind of charge."""
    closed(billing_url, "2026-02", tmp_path)
    return bundled(conn, FIRST, tmp_path)


def test_it_agrees_and_explains_itself(everything: Path, conn: Connection, tmp_path: Path) -> None:
    assert verify(everything) == []
    assert content(everything) == files_of(everything)[f"{FIRST}.json"]
    assert explain_file(everything, f"{FIRST}/4").differences == ()
    assert explain_file(everything, "0").tree.value == "897.97 EUR due"
    again = bundled(conn, FIRST, tmp_path / "again")
    assert again.read_bytes() == everything.read_bytes()


def test_no_altered_digit_passes(everything: Path) -> None:
    seed = int(os.environ.get("RACKMETER_SEED", random.SystemRandom().randrange(2**32)))
    print(f"RACKMETER_SEED={seed}")
    rng, files = random.Random(seed), files_of(everything)
    for name, body in files.items():
        digits = [found.start() for found in re.finditer(rb"\d", body)]
        few = 2 if name.endswith(".pdf") else SAMPLES
        for at in rng.sample(digits, min(few, len(digits))):
            digit = str((body[at] - ord("0") + rng.randrange(1, 10)) % 10).encode()
            altered = {**files, name: body[:at] + digit + body[at + 1 :]}
            found = check_bundle(altered)
            assert any(one.where.startswith(name) for one in found), (seed, name, at, found)


def test_every_digit_of_every_row_is_named(everything: Path) -> None:
    """Each digit of some rows: the finding says in which line of which file."""
    files = files_of(everything)
    for name in (WINDOWS, READINGS):
        lines = files[name].split(b"\n")
        row = lines[1]
        for at in (found.start() for found in re.finditer(rb"\d", row)):
            digit = str((row[at] - ord("0") + 1) % 10).encode()
            altered = b"\n".join([lines[0], row[:at] + digit + row[at + 1 :], *lines[2:]])
            columns = lines[0].decode().split(",")[:-1]
            assert read_table(altered, columns).altered == [2], (name, at)


def forged(files: dict[str, bytes], name: str, body: bytes) -> list[str]:
    """Somebody alters a file and computes the manifest anew."""
    old = read_manifest(files[MANIFEST])
    new = {key: one for key, one in {**files, name: body}.items() if key != MANIFEST}
    said = manifest(str(old["number"]), str(old["invoice"]), str(old["language"]), new)
    return [str(one) for one in check_bundle({**new, MANIFEST: said})]


def rows_of(files: dict[str, bytes]) -> list[list[str]]:
    return read_table(files[WINDOWS], WINDOW_COLUMNS).rows


def test_a_forged_window_does_not_fit_the_sealed_invoice(everything: Path) -> None:
    files = files_of(everything)
    rows = rows_of(files)
    rows[7][4] = str(int(rows[7][4]) + 1)
    found = forged(files, WINDOWS, table(WINDOW_COLUMNS, rows))
    assert any("inputs.usage[0] says 7000000000000" in one for one in found)
    assert any("inputs.samples[0]" in one for one in found)
    assert any("lines[0] of the invoice says 3500000000000" in one for one in found)


@pytest.mark.parametrize("change", ["drop", "twice", "moved"])
def test_windows_can_not_go_come_or_move(everything: Path, change: str) -> None:
    files = files_of(everything)
    rows = rows_of(files)
    if change == "drop":
        del rows[3]
    elif change == "twice":
        rows.append(rows[3])
    else:
        rows[3][3], rows[300][3] = "2026-02-20T00:00:00Z", rows[300][3]
    assert forged(files, WINDOWS, table(WINDOW_COLUMNS, rows))


def test_the_signed_end_of_the_audit_trail_is_checked(
    billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    number, digest = tip(billing)
    head = Signer([b"k" * 32]).sign(Head(ledger_id(billing), number, digest, START))
    store(billing, line(head))
    files = files_of(bundled(billing, FIRST, tmp_path))
    assert check_bundle(files) == []
    assert "audit-head.json" in files[README].decode()
    other = files[HEAD].replace(f'"number":"{number}"'.encode(), b'"number":"9"')
    assert any("its signature does not hold" in one for one in forged(files, HEAD, other))


def test_a_file_more_or_less_is_named(everything: Path, tmp_path: Path) -> None:
    files = files_of(everything)
    for name in files:
        less = {key: body for key, body in files.items() if key != name}
        found = verify(zipped(less, tmp_path / "less.zip"))
        assert any(one.where.startswith(name) for one in found), name
    found = verify(zipped({**files, "more.txt": b"1"}, tmp_path / "more.zip"))
    assert [str(one) for one in found] == ["more.txt: is not in the manifest"]


def test_damage_of_the_archive_is_named(everything: Path, tmp_path: Path) -> None:
    whole = everything.read_bytes()
    middle = zipfile.ZipFile(io.BytesIO(whole)).getinfo(WINDOWS).header_offset + 200
    broken = tmp_path / "broken.zip"
    broken.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    (finding,) = verify(broken)
    assert finding.where == WINDOWS
    assert "is damaged" in finding.says
    broken.write_bytes(whole[:300])
    assert verify(broken)[0].where == "bundle"


def test_windows_that_a_swap_cuts_tie_together(billing_url: str, tmp_path: Path) -> None:
    play(billing_url, (FOLDER / "swap_inside_a_window.txt").read_text())
    with connect(billing_url, autocommit=True) as conn:
        assert verify(bundled(conn, FIRST, tmp_path)) == []


def test_late_usage_is_in_the_bundle_of_its_correction(billing_url: str, tmp_path: Path) -> None:
    play(billing_url, (FOLDER / "late_usage_on_the_next_invoice.txt").read_text())
    with connect(billing_url, autocommit=True) as conn:
        before = bundled(conn, FIRST, tmp_path)
        after = bundled(conn, "RM-2026-000002", tmp_path, "de")
    assert verify(before) == verify(after) == []
    assert [row[6] for row in rows_of(files_of(before)) if row[6] == "late"] == []
    assert [row[4] for row in rows_of(files_of(after)) if row[6] == "late"] == ["412000000000"]
    assert files_of(after)[README].decode().startswith("Rechnung RM-2026-000002")


def test_a_ledger_that_was_altered_gives_no_bundle(
    billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    billing.execute("UPDATE usage_window SET qty = ARRAY[0] WHERE window_start = %s", (START,))
    with pytest.raises(DifferenceError, match="The ledger does not say of RM-2026-000001"):
        bundled(billing, FIRST, tmp_path)


def test_windows_that_were_dropped_give_no_bundle(
    billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    billing.execute("UPDATE store_mark SET dropped = %s", (START + timedelta(days=3),))
    with pytest.raises(RefusedError, match="its PDF and JSON verify without it"):
        bundled(billing, FIRST, tmp_path)
