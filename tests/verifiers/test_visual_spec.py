"""What a task may declare, and how a wrong table is told; which part of a state is the work."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from verifiers import VERIFIERS, verifier
from verifiers.visual import VisualVerifier
from verifiers.visual_spec import BadVisualSpec, read_spec
from verifiers.workdir import filter_layer

CHECK = {"id": "a", "kind": "visible", "selector": "h1"}


def table(*checks: object, **more: object) -> dict[str, object]:
    return {"pages": [{"path": "index.html", "checks": list(checks) or [CHECK], **more}]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "there is no check"),
        ({"pagse": []}, "pagse: is not a known key; did you mean pages?"),
        (table(viewport={"widht": 5}), "pages.0.viewport.widht: is not a known key; did you mean width?"),
        (table({**CHECK, "kind": "visibel"}), "pages.0.checks.0.kind: 'visibel' is not a kind of check; did you mean visible?"),
        (table({"id": "a", "kind": "visible", "selectr": "h1"}), "checks.0.selectr: is not a known key; did you mean selector?"),
        (table({"id": "a", "kind": "visible"}), "pages.0.checks.0.selector: Field required"),
        (table(CHECK, CHECK), "the check id 'a' is there twice"),
        (table(viewport={"width": 100_000}), "pages.0.viewport.width"),
        (table(actions=[{"click": "a", "press": "b"}]), "exactly one of click, fill, press, wait_for"),
        (table(actions=[{"wait_for": "a", "timeout_s": 0}]), "pages.0.actions.0.timeout_s"),
        (table({"id": "p", "kind": "pixels", "reference": "../r.png"}), "must be relative and without"),
        (table({"id": "p", "kind": "pixels", "reference": "r.png", "max_share": 1.0}), "max_share"),
        (table({"id": "p", "kind": "pixels", "reference": "r", "masks": [{"x": 0, "y": 0, "width": 3}]}), "masks.0.height"),
        ({**table(), "serve": "python3 app.py"}, "serve and url belong together"),
        ({**table(), "serve": "x", "url": "http://example.com:80/"}, "url: String should match pattern"),
        ({**table(), "root": "/etc"}, "must be relative"),
        ({"images": [{"id": "i", "path": "/etc/x.png", "reference": "r.png"}]}, "images.0.path"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_told_in_one_line_with_its_place(given, words):
    with pytest.raises(BadVisualSpec) as error:
        read_spec(given)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_verifier_is_registered_by_its_name():
    assert isinstance(verifier("visual"), VisualVerifier)
    assert "visual" in VERIFIERS.names()


def layer(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            data = b"data" if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


F, D, L, H, B = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.BLKTYPE


def test_only_what_lies_in_the_working_directory_is_the_work(tmp_path):
    inside = [
        ("srv", D, ""),
        ("srv/app", D, ""),
        ("srv/app/a", F, ""),
        ("srv/app/.wh.b", F, ""),
        ("srv/app/l", L, "/etc"),
    ]
    outside = [
        *[("etc/ld.so.preload", F, ""), ("srv/application", F, ""), ("srv/app/../x", F, ""), (".wh.etc", F, "")],
        *[("srv/app/h", H, "etc/shadow"), ("srv/app/dev", B, ""), ("srv", L, "/tmp"), ("srv/app", L, "/tmp")],
    ]  # fmt: skip
    target = tmp_path / "part.tar"
    assert filter_layer(layer(tmp_path / "a.tar", *inside), target, "/srv/app") == 0
    assert filter_layer(layer(tmp_path / "b.tar", *inside, *outside), target, "/srv/app") == len(outside)
    with tarfile.open(target) as tar:
        assert tar.getnames() == ["srv/app", "srv/app/a", "srv/app/.wh.b", "srv/app/l"]
