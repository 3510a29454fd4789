"""What the doctor looks at: each check is a sentence when all is well, an exception when not."""

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from rackmeter import installed_version
from rackmeter.errors import ConfigError, DependencyError, RackmeterError
from rackmeter.kafka import Cluster, cluster
from rackmeter.key_files import load_vault
from rackmeter.settings import Settings
from rackmeter.stack_folder import running
from rackmeter.topics import check_broker
from sinks.database import Connection, connect, require_schema, schema_revision
from sinks.secrets import verify

MIB = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def python() -> str:
    """Which rackmeter on which Python."""
    number = ".".join(map(str, sys.version_info[:3]))
    return f"rackmeter {installed_version()} on Python {number} ({sys.executable})"


def libraries() -> str:
    """Every library of the extra `server` is installed."""
    for text in requires("rackmeter") or []:
        name, _, marker = text.partition(";")
        if marker and "'server'" not in marker.replace('"', "'"):
            continue
        found = _NAME.match(name)
        try:
            version(found[0] if found else name)
        except PackageNotFoundError:
            raise ConfigError(
                f"{name} is not installed: pip install 'rackmeter[server]'."
            ) from None
    return "all there"


def data_folder(settings: Settings, free_mib_min: int) -> str:
    """Writable, with room; a folder that does not exist yet is made at its first use."""
    folder = settings.data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{existing} is not writable; choose another RACKMETER_DATA_DIR.")
    free = shutil.disk_usage(existing).free // MIB
    if free < free_mib_min:
        raise DependencyError(
            f"{free} MiB are free at {existing}, {free_mib_min} are wanted; make room, or choose "
            "another RACKMETER_DATA_DIR."
        )
    return f"{folder}, {free} MiB free"


def database(settings: Settings) -> str:
    """Answers, and has the tables of this version."""
    url = database_in_force(settings)
    if url is None:
        return "embedded, not running; `rackmeter dev` starts it"
    with connect(url) as conn:
        require_schema(conn)
        return f"answers, at revision {schema_revision(conn)}"


def master_key(settings: Settings) -> str:
    """Every secret in the ledger decrypts. Nothing to say while the embedded database rests."""
    url = database_in_force(settings)
    if url is None:
        return "embedded, beside the database"
    vault = load_vault(settings)
    with connect(url) as conn:
        require_schema(conn)
        return f"{vault.current} encrypts, and all {verify(conn, vault)} secrets decrypt"


def broker(settings: Settings) -> str:
    """Answers, and lets us in."""
    where = cluster_in_force(settings)
    if where is None:
        return "embedded, not running; `rackmeter dev` starts it"
    check_broker(where)
    return f"{where.bootstrap} answers"


def open_ledger(settings: Settings) -> Connection | None:
    """An autocommit connection to tables of this version; None where `database` says what is."""
    url = database_in_force(settings)
    if url is None:
        return None
    try:
        conn = connect(url, autocommit=True, application_name="rackmeter doctor")
        require_schema(conn)
    except RackmeterError:
        return None
    return conn


def cluster_in_force(settings: Settings) -> Cluster | None:
    """The broker that is set, or the embedded one that runs."""
    stack = running(settings.data_dir)
    if settings.kafka_bootstrap is None and (stack is None or stack.bootstrap is None):
        return None
    return cluster(settings, stack.bootstrap if stack else None)


def database_in_force(settings: Settings) -> str | None:
    """The database that is set, or the embedded one that runs."""
    stack = running(settings.data_dir)
    return settings.database_url or (stack.database_url if stack else None)
