"""Files are whole or not there, and say in one sentence why."""

from pathlib import Path

import pytest
from pypdf import PdfReader

from invoicing.export import export, load, write
from invoicing.verify import verify
from schemas.errors import ConfigError, DependencyError, DifferenceError, RefusedError
from sinks.database import Connection
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def invoice(billing: Connection, billing_url: str) -> str:
    month_of(billing, 1)
    return str(close_month(billing_url).outcomes[0].invoice_id)


def test_both_files_are_written(billing: Connection, invoice: str, tmp_path: Path) -> None:
    files = export(billing, invoice, tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["RM-2026-000001.json", "RM-2026-000001.pdf"]
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir()) == [
        file.name for file in files
    ]
    assert files[0].stat().st_mode & 0o777 == 0o644


def test_the_page_is_in_the_language_of_the_account(
    billing: Connection, invoice: str, tmp_path: Path
) -> None:
    def page(language: str | None = None) -> str:
        file = export(billing, invoice, tmp_path, language)[1]
        assert verify(file) == []
        return PdfReader(file).pages[0].extract_text()

    assert "Invoice RM-2026-000001" in page()
    assert "Rechnung RM-2026-000001" in page("de")
    billing.execute("UPDATE account SET language = 'de'")
    assert "Leistungszeitraum" in page()
    assert "Service period" in page("en")
    with pytest.raises(ConfigError, match='No invoice is written in "fr"; languages are de, en'):
        page("fr")


def test_a_folder_that_is_a_file(billing: Connection, invoice: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(DependencyError, match=r"cannot be written: .*The invoice itself is safe"):
        export(billing, invoice, tmp_path / "out")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(
        DependencyError, match=r"a\.json cannot be written: No space left on device"
    ):
        write(tmp_path / "a.json", b"new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.json", "old")]


def test_an_invoice_that_does_not_exist(billing: Connection, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="There is no invoice"):
        export(billing, NOBODY, tmp_path)


def test_a_document_altered_in_the_database_is_not_handed_out(
    billing: Connection, invoice: str
) -> None:
    billing.execute("ALTER TABLE invoice DISABLE TRIGGER invoice_final")
    billing.execute(
        """UPDATE invoice SET document = jsonb_set(document, '{totals,gross}', '"1"')"""
    )
    with pytest.raises(DifferenceError, match="is not what was sealed"):
        load(billing, invoice)
