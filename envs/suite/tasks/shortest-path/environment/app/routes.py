"""Shortest routes in a road network."""

import heapq


class Graph:
    def __init__(self):
        self._roads = {}

    def add_place(self, name):
        self._roads.setdefault(name, {})

    def add_road(self, a, b, length, one_way=False):
        """A road; of parallel roads the shortest counts."""
        if length < 0:
            raise ValueError("a road cannot have a negative length")
        self.add_place(a)
        self.add_place(b)
        self._roads[a][b] = min(length, self._roads[a].get(b, length))
        if not one_way:
            self._roads[b][a] = min(length, self._roads[b].get(a, length))

    def places(self):
        return sorted(self._roads)

    def roads_from(self, place):
        if place not in self._roads:
            raise KeyError(f"unknown place: {place}")
        return self._roads[place].items()


def distances(graph, start):
    """(distance, previous place) for all places that can be reached."""
    best = {start: 0}
    previous = {start: None}
    done = set()
    queue = [(0, start)]
    while queue:
        distance, place = heapq.heappop(queue)
        if place in done:
            continue
        done.add(place)
        for neighbour, length in graph.roads_from(place):
            candidate = distance + length
            if neighbour not in best and candidate < best.get(neighbour, candidate + 1):
                best[neighbour] = candidate
                previous[neighbour] = place
                heapq.heappush(queue, (candidate, neighbour))
    return best, previous


def trace(previous, goal):
    """The places of the route that ends at `goal`."""
    path = []
    place = goal
    while place is not None:
        path.append(place)
        place = previous[place]
    path.reverse()
    return path


def shortest(graph, start, goal):
    """(length, places) of a shortest route, or None."""
    graph.roads_from(goal)
    best, previous = distances(graph, start)
    if goal not in best:
        return None
    return best[goal], trace(previous, goal)


def nearest(graph, start, candidates):
    """The candidate that is closest to `start`, or None; ties go to the first in the alphabet."""
    best, _ = distances(graph, start)
    reachable = sorted((best[c], c) for c in candidates if c in best)
    return reachable[-1][1] if reachable else None
