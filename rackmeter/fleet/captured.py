"""A simulated log as files: what was sent, with what keys, and what it must come to.

reports.ndjson   the messages in log order, see schemas.capture
keys.toml        the servers' signing keys, as `rackmeter usage meter --keys` reads them
truth.jsonl      the truth, see truth
verdicts.txt     line n: what message n must end in
"""

import json
from pathlib import Path
from typing import Final

from rackmeter.capture import write_capture
from rackmeter.files import replacing
from rackmeter.fleet import truth
from rackmeter.fleet.log import Log
from schemas.envelope import Key

REPORTS: Final = "reports.ndjson"
KEYS: Final = "keys.toml"
TRUTH: Final = "truth.jsonl"
VERDICTS: Final = "verdicts.txt"


def write(log: Log, folder: Path) -> None:
    """The four files, in a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_capture(folder / REPORTS, log.messages)
    with replacing(folder / KEYS) as file:
        file.write("\n".join(map(_table, log.keys)).encode())
    truth.write(log.truth, folder / TRUTH)
    with replacing(folder / VERDICTS) as file:
        file.writelines(f"{verdict}\n".encode() for verdict in log.verdicts)


def _table(key: Key) -> str:
    """One key; a TOML text is written as a JSON one."""
    return (
        f"[[{json.dumps(key.server)}]]\nkid = {json.dumps(key.kid)}\n"
        f'secret = "{key.secret.hex()}"\n'
        f"valid_from = {key.valid_from_ms}\nvalid_to = {key.valid_to_ms}\n"
    )
