import pytest

from routes import Graph, nearest, shortest


@pytest.fixture
def town():
    graph = Graph()
    graph.add_road("A", "D", 10)
    graph.add_road("A", "B", 3)
    graph.add_road("B", "C", 2)
    graph.add_road("C", "D", 1)
    graph.add_place("Island")
    return graph


def test_a_detour_can_be_shorter(town):
    assert shortest(town, "A", "D") == (6, ["A", "B", "C", "D"])


def test_direct_road(town):
    assert shortest(town, "A", "B") == (3, ["A", "B"])


def test_start_is_goal(town):
    assert shortest(town, "A", "A") == (0, ["A"])


def test_unreachable(town):
    assert shortest(town, "A", "Island") is None


def test_nearest_of_one(town):
    assert nearest(town, "A", ["B"]) == "B"


def test_nearest_of_several(town):
    assert nearest(town, "A", ["D", "B", "C"]) == "B"


def test_negative_length():
    with pytest.raises(ValueError):
        Graph().add_road("A", "B", -1)
