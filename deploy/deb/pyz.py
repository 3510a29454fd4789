"""``python -m deploy.deb.pyz`` writes build/rackmeter-agent.pyz: the agent in one file, for a look.

    python3 rackmeter-agent.pyz sample

Needs Python 3.11 to 3.14 on x86-64 and nothing else. The same commit gives the same bytes.
"""

import argparse
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from deploy.deb.parts import ROOT, epoch, gather


def build(out: Path, dated: int) -> Path:
    """The file ``out``; ``dated``: seconds since 1970."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder) / "parts"
        gather(parts)
        shutil.copyfile(Path(__file__).with_name("pyz_main.py"), parts / "__main__.py")
        with out.open("wb") as file:
            file.write(b"#!/usr/bin/env python3\n")
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(path for path in parts.rglob("*") if path.is_file()):
                    entry = zipfile.ZipInfo(str(path.relative_to(parts)), time.gmtime(dated)[:6])
                    entry.external_attr = 0o644 << 16
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, path.read_bytes())
    out.chmod(0o755)
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/rackmeter-agent.pyz")
    print(build(parser.parse_args().out, epoch()))  # noqa: T201 - a command
