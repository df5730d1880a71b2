import subprocess
import sys

SCENE = "circle 0 0 1\n# a comment\nrect 1 1 2 3\n"


def python(*args):
    return subprocess.run([sys.executable, "-S", *args], capture_output=True, text=True)


def test_import():
    done = python("-c", "import shapes")
    assert done.returncode == 0, done.stderr


def test_names():
    from shapes import Circle, Rect, Scene, dump, load

    assert load(dump(Scene([Circle(0, 0, 1), Rect(1, 1, 2, 3)]))).area() > 9


def test_program(tmp_path):
    path = tmp_path / "scene.txt"
    path.write_text(SCENE)
    assert python("-m", "shapes", str(path)).stdout == "area 9.14\nbox -1 -1 3 4\n"


def test_sources_have_no_syntax_error():
    for name in ("base", "circle", "codec", "main", "rect", "scene"):
        compile(open(f"shapes/{name}.py").read(), name, "exec")
