"""What makes a file and its name survive a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """A file, or a folder: a new file's name is on the disk only when its folder is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
