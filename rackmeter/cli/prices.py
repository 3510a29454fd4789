"""Finding a catalogue: the files that come with rackmeter, a file, or a published version."""

from importlib.resources import files
from pathlib import Path

from pipeline.catalog import Catalog, load
from rackmeter.errors import ConfigError
from sinks.catalogs import published_text
from sinks.database import Connection

DEMO = "demo.toml"


def catalogue(conn: Connection, named: str | None) -> Catalog:
    """A file, a published version, or the newest published one."""
    if named is not None and Path(named).is_file():
        return load(Path(named).read_text(encoding="utf-8"), named)
    version = named or _newest(conn)
    text = published_text(conn, version)
    if text is None:
        raise ConfigError(f"{version} is neither a file nor a published catalogue.")
    return load(text, version)


def shipped(name: str) -> str:
    """The text of a catalogue that comes with rackmeter: below deploy/, linked into the package."""
    return files("rackmeter").joinpath("catalogs", name).read_text(encoding="utf-8")


def _newest(conn: Connection) -> str:
    row = conn.execute("SELECT version FROM catalog_version ORDER BY applied_at DESC").fetchone()
    if row is None:
        raise ConfigError("No catalogue is published yet: `rackmeter catalog apply FILE`.")
    return str(row[0])
