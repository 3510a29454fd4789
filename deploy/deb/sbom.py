"""What the package is made of, as CycloneDX 1.6: read from what was gathered, so it cannot differ.

The same parts and date give the same bytes, serial number included.
"""

import hashlib
import json
import uuid
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, Final

from confluent_kafka import libversion

NAME: Final = "rackmeter-agent"
LICENCES: Final = {
    "confluent-kafka": "Apache-2.0",
    "librdkafka": "BSD-2-Clause",
}
"""By SPDX; a part that is not here fails the build, so nothing is shipped unread."""


def sbom(program: Path, version: str, dated: int, architecture: str) -> str:
    """JSON; ``program`` is the folder that `parts.gather` filled. Raises KeyError for a part whose
    licence nobody has looked up.
    """
    parts = [_wheel(about / "METADATA") for about in sorted(program.glob("*.dist-info"))]
    parts += [_binary(file) for file in sorted(program.glob("*.libs/*.so*"))]
    agent = {
        "type": "application", "bom-ref": NAME, "name": NAME, "version": version,
        "licenses": _licence("Apache-2.0"),
        "purl": f"pkg:deb/{NAME}@{version}?arch={architecture}",
    }  # fmt: skip
    refs = [part["bom-ref"] for part in parts]
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(dated, UTC).isoformat(),
            "component": agent,
        },
        "components": parts,
        "dependencies": [{"ref": NAME, "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    return json.dumps({"serialNumber": serial.urn, **content}, indent=2) + "\n"


def _wheel(metadata: Path) -> dict[str, Any]:
    about = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
    name, version = about["Name"], about["Version"]
    purl = f"pkg:pypi/{name}@{version}"
    return {
        "type": "library", "bom-ref": purl, "name": name, "version": version,
        "licenses": _licence(LICENCES[name]), "purl": purl,
    }  # fmt: skip


def _binary(file: Path) -> dict[str, Any]:
    """librdkafka, which says its version only when asked: the lock's, here as there."""
    name = file.name.partition("-")[0]
    return {
        "type": "library", "bom-ref": f"file:{file.name}", "name": name,
        "version": libversion()[0],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        "licenses": _licence(LICENCES[name]),
    }  # fmt: skip


def _licence(spdx: str) -> list[dict[str, Any]]:
    return [{"license": {"id": spdx}}]
