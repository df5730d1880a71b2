"""What root is promised, an ordinary user is promised too: the same tests once more, without any privilege."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
USER = 61_234
PYTHON = "/usr/bin/python3"
#: pytest and what it needs, for an interpreter that any user may execute
PACKAGES = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "pytest-asyncio", "typing-extensions")
FILES = ("test_local_escapes.py", "test_local_isolation.py", "test_local_bombs.py", "test_local_limits.py")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_every_promise_holds_for_an_ordinary_user(tmp_path: Path) -> None:
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    if version.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip(f"{PYTHON} is not of the version that the packages here are for")
    _copy(tmp_path)
    _open(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "private").write_text("mine")
    os.chown(home, USER, USER)
    try:
        done = subprocess.run(
            [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", *FILES],
            user=USER,
            group=USER,
            extra_groups=(),
            env={
                "PYTHONPATH": f"{tmp_path}/code:{tmp_path}/site",
                "HOME": str(home),
                "PATH": "/usr/bin:/bin",
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(home),
            },
            cwd=tmp_path / "code" / "tests" / "kernel_pool",
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    finally:
        shutil.rmtree(f"/var/tmp/rollout-fork-tests-{USER}", ignore_errors=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert not [
        line for line in done.stdout.splitlines() if line.startswith("SKIPPED") and "groups" not in line
    ]


def _copy(target: Path) -> None:
    without_bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "kernel_pool", target / "code" / "kernel_pool", ignore=without_bytecode)
    shutil.copytree(HERE, target / "code" / "tests" / "kernel_pool", ignore=without_bytecode)
    shutil.copy(ROOT / "pyproject.toml", target / "code")
    for name in PACKAGES:
        for file in distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                place = target / "site" / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), place)


def _open(place: Path) -> None:
    """pytest's own directories are closed to others."""
    while place != place.parent and place != Path("/tmp"):
        place.chmod(0o755)
        place = place.parent
