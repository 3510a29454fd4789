"""What runs first in rackmeter-agent.pyz: lays its parts down, once, as no extension module can be
loaded from within an archive. They lie in the user's cache, which nobody else may write.
"""

import hashlib
import os
import sys
import tempfile
import zipfile
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one learns it here
    sys.exit("rackmeter: the agent needs Python 3.11 or newer")


def laid_down(archive: Path) -> Path:
    """The folder of the parts of this very archive."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rackmeter-agent"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = cache.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        sys.exit(f"rackmeter: others may write {cache}; name another folder with XDG_CACHE_HOME")
    target = cache / hashlib.sha256(archive.read_bytes()).hexdigest()[:32]
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=cache) as beside:
            made = Path(beside) / "parts"
            with zipfile.ZipFile(archive) as parts:
                parts.extractall(made)
            try:
                made.rename(target)
            except OSError:  # another process was faster, with the same parts
                if not target.exists():
                    raise
    return target


if __name__ == "__main__":
    sys.path[0] = str(laid_down(Path(sys.argv[0]).resolve()))

    from agents.main import main

    sys.exit(main(sys.argv[1:]))
