import subprocess
import sys

import pytest


def python(*args):
    return subprocess.run([sys.executable, "-S", *args], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["base", "circle", "codec", "main", "rect", "scene"])
def test_every_module_can_be_imported_first(module):
    done = python("-c", f"import shapes.{module}")
    assert done.returncode == 0, done.stderr


def test_names_of_the_package():
    import shapes

    assert sorted(shapes.__all__) == ["Circle", "Rect", "Scene", "dump", "load"]
    assert all(hasattr(shapes, name) for name in shapes.__all__)


def test_codec_alone_knows_all_shapes():
    code = "from shapes.codec import load; print(load('rect 0 0 2 2\\ncircle 0 0 1').box())"
    done = python("-c", code)
    assert done.stdout == "(-1.0, -1.0, 2.0, 2.0)\n", done.stderr


def test_new_shapes_register_themselves():
    from shapes import load
    from shapes.base import Shape

    class Dot(Shape):
        fields = ("x", "y")

        def area(self):
            return 0

        def box(self):
            return (self.x, self.y, self.x, self.y)

    scene = load("dot 3 4")
    assert type(scene.shapes[0]) is Dot and scene.box() == (3, 4, 3, 4)


def test_round_trip():
    from shapes import Circle, Rect, Scene, dump, load

    scene = Scene([Circle(0.5, -1, 2), Rect(1, 1, 2, 3)])
    assert dump(scene) == "circle 0.5 -1 2\nrect 1 1 2 3\n"
    assert load(dump(scene)).shapes == scene.shapes


def test_unknown_shape_is_reported_with_its_line():
    from shapes import load

    with pytest.raises(ValueError, match="line 3: unknown shape 'blob'"):
        load("circle 0 0 1\n\nblob 1 2\n")


def test_classes_are_as_before():
    from shapes import Circle, Scene

    with pytest.raises(TypeError):
        Circle(1, 2)
    with pytest.raises(TypeError):
        Scene(["x"])
    assert Scene().box() is None and Scene().area() == 0


def test_program(tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("# nothing\n")
    done = python("-m", "shapes", str(path))
    assert (done.stdout, done.returncode) == ("area 0.00\nbox empty\n", 0)
    assert python("-m", "shapes").returncode == 2
