"""The agent in one file: runs where only Python is, from a folder nobody else may write."""

import subprocess
import venv
from pathlib import Path

import pytest

from deploy.deb.pyz import build
from tests.deploy.debian import needs

DATED = 1_790_000_000
TREE = Path(__file__).parents[1] / "agents/trees/dedicated"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("dpkg", "dpkg")  # an x86-64 Linux
    return build(tmp_path_factory.mktemp("pyz") / "agent.pyz", DATED)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin/python"


def run(
    python: Path, archive: Path, cache: Path, *words: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [python, archive, *words], capture_output=True, text=True, check=False, cwd="/",
        env={"XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def test_two_builds_are_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert build(tmp_path / "again.pyz", DATED).read_bytes() == archive.read_bytes()


def test_it_samples_where_nothing_is_installed(archive: Path, bare: Path, tmp_path: Path) -> None:
    missing = subprocess.run([bare, "-Ic", "import confluent_kafka"], check=False, stderr=-3)
    assert missing.returncode == 1
    for _ in range(2):  # the second run finds what the first laid down
        shown = run(bare, archive, tmp_path, "sample", "--root", str(TREE))
        assert "net.rx_bytes" in shown.stdout
    [laid] = (tmp_path / "rackmeter-agent").iterdir()
    assert (laid / "agents/main.py").is_file()
    assert (tmp_path / "rackmeter-agent").stat().st_mode & 0o777 == 0o700


def test_a_cache_that_others_may_write_is_refused(
    archive: Path, bare: Path, tmp_path: Path
) -> None:
    (tmp_path / "rackmeter-agent").mkdir()
    (tmp_path / "rackmeter-agent").chmod(0o777)
    assert "others may write" in run(bare, archive, tmp_path, "sample", code=1).stderr
