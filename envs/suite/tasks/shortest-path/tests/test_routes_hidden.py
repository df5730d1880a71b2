import pytest

from routes import Graph, distances, nearest, shortest


def grid(n):
    graph = Graph()
    for x in range(n):
        for y in range(n):
            if x + 1 < n:
                graph.add_road((x, y), (x + 1, y), (x * 7 + y * 3) % 5 + 1)
            if y + 1 < n:
                graph.add_road((x, y), (x, y + 1), (x * 2 + y * 11) % 6 + 1)
    return graph


def relaxed(graph, start):
    best = {start: 0}
    for _ in graph.places():
        for place in list(best):
            for neighbour, length in graph.roads_from(place):
                candidate = best[place] + length
                if candidate < best.get(neighbour, candidate + 1):
                    best[neighbour] = candidate
    return best


def test_grid_against_plain_relaxation():
    graph = grid(6)
    assert distances(graph, (0, 0))[0] == relaxed(graph, (0, 0))


def test_path_adds_up():
    graph = grid(5)
    length, path = shortest(graph, (0, 0), (4, 4))
    assert sum(dict(graph.roads_from(a))[b] for a, b in zip(path, path[1:])) == length
    assert path[0] == (0, 0) and path[-1] == (4, 4)


def test_one_way_roads():
    graph = Graph()
    graph.add_road("A", "B", 1, one_way=True)
    assert shortest(graph, "A", "B") == (1, ["A", "B"])
    assert shortest(graph, "B", "A") is None


def test_parallel_roads():
    graph = Graph()
    graph.add_road("A", "B", 5)
    graph.add_road("A", "B", 2)
    graph.add_road("A", "B", 9)
    assert shortest(graph, "B", "A")[0] == 2


def test_road_without_length():
    graph = Graph()
    graph.add_road("A", "B", 0)
    graph.add_road("B", "C", 0)
    graph.add_road("A", "C", 1)
    assert shortest(graph, "A", "C") == (0, ["A", "B", "C"])


def test_improved_twice():
    graph = Graph()
    graph.add_road("S", "T", 100)
    graph.add_road("S", "A", 1)
    graph.add_road("A", "T", 50)
    graph.add_road("A", "B", 1)
    graph.add_road("B", "T", 1)
    assert shortest(graph, "S", "T") == (3, ["S", "A", "B", "T"])


def test_unknown_places():
    with pytest.raises(KeyError):
        shortest(Graph(), "A", "B")


def test_nearest():
    graph = grid(4)
    graph.add_place("off")
    assert nearest(graph, (0, 0), ["off"]) is None
    assert nearest(graph, (0, 0), []) is None
    best = distances(graph, (0, 0))[0]
    places = [(3, 3), (1, 1), (0, 2)]
    assert best[nearest(graph, (0, 0), places)] == min(best[p] for p in places)


def test_nearest_tie():
    graph = Graph()
    graph.add_road("S", "B", 2)
    graph.add_road("S", "A", 2)
    assert nearest(graph, "S", ["B", "A"]) == "A"


def test_negative_lengths_are_refused():
    with pytest.raises(ValueError):
        Graph().add_road("A", "B", -1)
