"""``python -m tests.fuzz decoding|metering [libFuzzer's options]``: look for what breaks a law.

What breaks one is written down at once beside the kept corpus, and an ordinary test replays it from
then on. What is merely new goes to ``build/fuzz``; ``keep`` in place of options makes the corpus
anew of the smallest inputs that together reach as much.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any
from warnings import simplefilter
from zlib import crc32

import atheris

with atheris.instrument_imports(include=["pipeline", "schemas"]):
    from tests.fuzz import decoding, kept, metering
    from tests.fuzz.mutate import Mutator, records, tokens
    from tests.schemas.grammar import all_edges

Target = tuple[Callable[[bytes], Any], Callable[[bytes, Any], Iterator[str]], Mutator]
_TARGETS: dict[str, Target] = {
    "decoding": (decoding.check, decoding.shapes, tokens),
    "metering": (metering.check, metering.shapes, records),
}
_SHAPES = 512
_SIZES = {"decoding": 3000, "metering": metering.HEADER + metering.REPORTS_MAX * metering.RECORD}
"""Three thousand bytes hold a few reports; what takes more is a test of its own."""
_OPTIONS = ["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
_BUILD = Path("build/fuzz")
_OLD = Path(__file__).parents[1] / "schemas/corpus/v1.json"


def seeds(target: str) -> Iterator[bytes]:
    """What is kept; bodies at every edge and of every age, spoilt in every way, and a crowd."""
    yield from kept.read(kept.path(target)) + kept.read(kept.finds(target))
    if target == "metering":
        yield bytes(metering.HEADER + 4 * metering.RECORD)
        return
    yield from (entry["body"].encode() for entry in json.loads(_OLD.read_text(encoding="utf-8")))
    yield from all_edges()
    yield from (spoilt + all_edges()[-1] for spoilt in decoding.SPOILT)
    yield decoding.BETWEEN.join(all_edges()[-3:])


def fuzz(target: str, options: list[str]) -> None:
    """Ends with libFuzzer's exit code: other than 0 when something was found."""
    check, shapes, mutate = _TARGETS[target]
    found, least = _BUILD / target, _BUILD / f"{target}-least"
    for folder in (found, least):
        folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds(target)):
        (found / f"seed-{i:04}").write_bytes(seed)
    counters = [atheris._reserve_counter() for _ in range(_SHAPES)]

    def one(data: bytes) -> None:
        try:
            result = check(data)
        except Exception:
            kept.write(kept.finds(target), [*kept.read(kept.finds(target)), data])
            raise
        for shape in shapes(data, result):
            atheris._trace_branch(counters[crc32(shape.encode()) % _SHAPES])

    folders = [str(least), str(found)] if "-merge=1" in options else [str(found)]
    limits = [f"-max_len={_SIZES[target]}", f"-artifact_prefix={_BUILD}/"]
    # Where libFuzzer starts itself again, as for a merge, a shell reads this.
    again = f"{sys.executable} -m tests.fuzz {target}"
    atheris.Setup([again, *_OPTIONS, *limits, *options, *folders], one, custom_mutator=mutate)
    atheris.Fuzz()


def keep(target: str) -> None:
    """Ends with an exception when a law is broken; then the corpus stays as it was."""
    least = _BUILD / f"{target}-least"
    rmtree(least, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "tests.fuzz", target, "-merge=1"], check=True)
    kept.write(kept.path(target), (path.read_bytes() for path in least.iterdir()))


if __name__ == "__main__":
    simplefilter("error")
    if sys.argv[2:] == ["keep"]:
        keep(sys.argv[1])
    else:
        fuzz(sys.argv[1], sys.argv[2:])
