"""Used bytes per mounted file system, from /proc/self/mountinfo and statvfs. No arithmetic across
readings.

Real file systems are those the kernel backs with a block device (not ``nodev`` in
/proc/filesystems), and ZFS. Read-only images are not storage anyone fills. Each device is counted
once, at its shortest mount point: bind mounts and btrfs subvolumes show the same device again,
overlays have none of their own. Network file systems are ``nodev``: their space is counted by
whoever has the disks, and statvfs on a dead one would hang the agent.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from agents.sample import Sample, resource_name

METERS = frozenset({"disk.used_mib_s"})

IMAGE_TYPES = frozenset({"squashfs", "erofs", "iso9660", "cramfs", "romfs"})
Statvfs = Callable[[bytes], os.statvfs_result]


@dataclass(frozen=True, slots=True)
class Choice:
    """``exclude`` are globs of mount points; ``types`` are file system types to count besides the
    real ones.
    """

    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    device: bytes
    subtree: bytes
    point: bytes
    kind: str


def read(root: Path, choice: Choice, statvfs: Statvfs = os.statvfs) -> list[Sample]:
    samples = []
    for mount in chosen(root, choice):
        name = resource_name(mount.point)
        try:
            seen = statvfs(os.fsencode(root / os.fsdecode(mount.point.lstrip(b"/"))))
        except OSError:
            continue
        used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
        if used >= 0:
            samples.append(Sample("disk.used_mib_s", name, used, name))
    return samples


def chosen(root: Path, choice: Choice) -> list[Mount]:
    """One mount for each device: the whole file system before a part, then the shortest path."""
    wanted = _real_types(root) | set(choice.types)
    visible = {mount.point: mount for mount in _mounts(root)}  # a later mount hides an earlier one
    best: dict[bytes, Mount] = {}
    for mount in visible.values():
        if mount.kind not in wanted:
            continue
        held = best.get(mount.device)
        if held is None or _rank(mount) < _rank(held):
            best[mount.device] = mount
    left = (mount for mount in best.values() if not _excluded(mount, choice))
    return sorted(left, key=lambda mount: mount.point)


def _rank(mount: Mount) -> tuple[bool, int, bytes]:
    return mount.subtree != b"/", len(mount.point), mount.point


def _excluded(mount: Mount, choice: Choice) -> bool:
    name = resource_name(mount.point)
    return any(fnmatchcase(name, glob) for glob in choice.exclude)


def _mounts(root: Path) -> Iterator[Mount]:
    """Lines of proc_pid_mountinfo(5): id parent major:minor root point options [tags] - type source
    options.
    """
    try:
        lines = (root / "proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        before, dash, after = line.partition(b" - ")
        head, tail = before.split(b" "), after.split(b" ")
        if dash and len(head) > 4:
            kind = tail[0].decode("ascii", "replace")
            yield Mount(head[2], _unescaped(head[3]), _unescaped(head[4]), kind)


def _unescaped(field: bytes) -> bytes:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), field)


def _real_types(root: Path) -> set[str]:
    try:
        lines = (root / "proc/filesystems").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    real = {line.strip() for line in lines if not line.startswith("nodev")}
    return (real | {"zfs"}) - IMAGE_TYPES
