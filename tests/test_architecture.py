"""The shape of the project, held by a test: who may import whom, how long a file may be, what may be caught."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("kernel_pool", "ranking", "verifiers", "envs", "rollouts")
MAY_IMPORT = {
    "kernel_pool": set(),
    "ranking": set(),
    "verifiers": {"kernel_pool"},
    "envs": {"kernel_pool", "verifiers"},
    "rollouts": {"kernel_pool", "ranking", "verifiers", "envs"},
    "scripts": {"kernel_pool", "ranking", "verifiers", "envs", "rollouts"},
}

#: Inside rollouts/, a module may import from its own layer's modules listed before it and from lower layers.
LAYERS = (
    {"records", "errors", "explain"},
    {"config"},
    {"plan", "moments", "policies", "store"},
    {"governance"},
    {"memory", "exports", "views", "audits", "snapshots", "rankings", "judging", "progress"},
    {"branch"},
    {"fork", "repair"},
    {"executor", "actors"},
    {"preflight", "confirmation", "stopping"},
    {"batch"},
    {"refork"},
    {"api", "doctor"},
    {"trainers"},
    {"learning"},
    {"cli_audit", "cli_compare"},
    {"cli", "__main__", "__init__"},
)
#: Packages of one layer that must never import one another.
STRANGERS = {"memory", "exports", "views", "audits"}

#: Broad excepts, each at a boundary that must hold whatever breaks behind it. This list only shrinks.
BROAD_EXCEPTS = {
    "envs/episode.py": 1,  # cancelled or broken set-up frees the lease, then raises on
    "envs/tools.py": 1,  # between the loop and a tool somebody registered
    "kernel_pool/backends/local/backend.py": 2,  # clean up, then raise on
    "kernel_pool/backends/local/channel.py": 1,  # the caller's own sink, raised where the caller waits
    "kernel_pool/backends/local/inside/execute.py": 1,
    "kernel_pool/backends/local/inside/warm.py": 2,
    "kernel_pool/backends/local/spawner.py": 1,
    "verifiers/pipeline.py": 1,  # between the pipeline and a verifier somebody registered
    "rollouts/fork.py": 1,  # between sibling branches
    "rollouts/cli.py": 1,  # click's own usage errors
    "rollouts/api.py": 1,  # carried over to the calling thread
}
TOP_LEVEL = {
    *("pyproject.toml", "README.md", "rollouts", "envs", "verifiers", "ranking", "kernel_pool", "configs"),
    *("tests", "scripts", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "requirements.lock"),
}


def sources(*packages: str) -> Iterator[Path]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "suite/tasks" not in path.as_posix():
                yield path


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute dotted names a file imports, also inside functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_packages_that_know_less(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for name, line in imports(path)
        if name.split(".")[0] in (*PACKAGES, "scripts", "tests") and name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_imports_inside_rollouts_go_one_way() -> None:
    rank = {module: level for level, layer in enumerate(LAYERS) for module in layer}
    wrong = []
    for path in sources("rollouts"):
        module = path.relative_to(ROOT / "rollouts").parts[0].removesuffix(".py")
        assert module in rank, f"{path.name}: say in LAYERS where it belongs"
        for name, line in imports(path):
            parts = name.split(".")
            if parts[0] != "rollouts" or len(parts) < 2 or parts[1] not in rank or parts[1] == module:
                continue
            if rank[parts[1]] > rank[module] or {module, parts[1]} <= STRANGERS:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def test_only_the_gate_makes_admitted_records() -> None:
    makers = [
        path.relative_to(ROOT).as_posix()
        for path in sources("rollouts", "scripts")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Admitted"
    ]
    assert all(maker.startswith("rollouts/governance/") for maker in makers)


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): count
        for path in sources(*PACKAGES, "scripts", "tests")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_broad_excepts_are_only_where_they_are_listed() -> None:
    found: dict[str, int] = {}
    for path in sources(*PACKAGES, "scripts"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
                name = path.relative_to(ROOT).as_posix()
                found[name] = found.get(name, 0) + 1
    assert found == BROAD_EXCEPTS


def test_the_top_level_holds_what_the_design_card_lists() -> None:
    tracked = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert tracked - TOP_LEVEL - {"runs", "build", "rollout_fork.egg-info"} == set()


def test_nothing_unfinished_is_left_in_the_sources() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(*PACKAGES, "scripts", "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert found == []


def _is_broad(node: ast.expr | None) -> bool:
    if node is None:
        return True
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(isinstance(n, ast.Name) and n.id in ("Exception", "BaseException") for n in names)
