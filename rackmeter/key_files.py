"""Files that hold keys: made once, for their owner alone; the master keys and the audit keys of the
settings in force.

The embedded database has a master key of its own, in the data folder beside it. A database that is
set by its address has none: whoever set it says where its master key is.
"""

import os
from pathlib import Path
from typing import Final

from agents.keyfile import private_text
from rackmeter.errors import ConfigError, DependencyError
from rackmeter.settings import Settings
from rackmeter.stack_folder import running
from sinks.audit_heads import Signer, parse_keys
from sinks.vault import Vault, new_master_key, parse_master_keys

MASTER_KEY_FILE: Final = "master.key"


def load_vault(settings: Settings) -> Vault:
    """The master keys of the ledger in force; raises what to set where there is none."""
    given = settings.master_key
    path = settings.master_key_file
    if given is not None and path is not None:
        raise ConfigError("RACKMETER_MASTER_KEY and RACKMETER_MASTER_KEY_FILE are set: keep one.")
    if given is not None:
        return Vault(parse_master_keys(given.get_secret_value(), "RACKMETER_MASTER_KEY"))
    path = path or _own_file(settings)
    if path is None:
        raise ConfigError(
            "There is no master key for the secrets in the ledger: set RACKMETER_MASTER_KEY_FILE;"
            " `rackmeter master-key new --to FILE` makes the first one."
        )
    return Vault(parse_master_keys(private_text(path), str(path)))


def load_signer(settings: Settings) -> Signer | None:
    """The keys that sign the audit trail's heads; None where the settings name none."""
    path = settings.audit_key_file
    return None if path is None else Signer(parse_keys(private_text(path), str(path)))


def make_master_key(folder: Path) -> None:
    """The master key of an embedded database, unless the folder has it."""
    path = folder / MASTER_KEY_FILE
    if not path.exists():
        write_new(path, new_master_key() + "\n")


def write_new(path: Path, text: str) -> None:
    """Only its owner may read it, and an existing file is never lost."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists; a key is never overwritten: name another file."
        ) from None
    except OSError as error:
        raise DependencyError(f"{path} cannot be written: {error.strerror}.") from error


def _own_file(settings: Settings) -> Path | None:
    """The embedded database's, when that is the one in force."""
    if settings.database_url is not None:
        stack = running(settings.data_dir)
        if stack is None or stack.database_url != settings.database_url:
            return None
    path = settings.data_dir / MASTER_KEY_FILE
    return path if path.exists() else None
