"""A priority queue whose entries can be moved."""


class PriorityQueue:
    """Jobs by priority, smallest first; equal priorities first come, first served."""

    def __init__(self):
        self._heap = []  # [priority, number, job]
        self._where = {}  # job -> index in the heap
        self._number = 0

    def __len__(self):
        return len(self._heap)

    def __contains__(self, job):
        return job in self._where

    def push(self, job, priority):
        if job in self._where:
            raise ValueError(f"{job!r} is already waiting")
        self._heap.append([priority, self._number, job])
        self._number += 1
        self._where[job] = len(self._heap) - 1
        self._rise(len(self._heap) - 1)

    def peek(self):
        if not self._heap:
            raise IndexError("the queue is empty")
        return self._heap[0][2]

    def pop(self):
        job = self.peek()
        self._swap(0, len(self._heap) - 1)
        self._heap.pop()
        del self._where[job]
        if self._heap:
            self._sink(0)
        return job

    def change(self, job, priority):
        """Give a waiting job another priority."""
        index = self._where[job]
        old = self._heap[index][0]
        self._heap[index][0] = priority
        if priority < old:
            self._rise(index)
        else:
            self._sink(index)

    def _less(self, a, b):
        return self._heap[a][:2] < self._heap[b][:2]

    def _swap(self, a, b):
        heap = self._heap
        heap[a], heap[b] = heap[b], heap[a]
        self._where[heap[a][2]] = a
        self._where[heap[b][2]] = b

    def _rise(self, index):
        while index > 0:
            parent = (index - 1) // 2
            if not self._less(index, parent):
                break
            self._swap(index, parent)
            index = parent

    def _sink(self, index):
        while True:
            smallest = index
            left = 2 * index + 1
            right = 2 * index + 3
            if left < len(self._heap) and self._less(left, smallest):
                smallest = left
            if right < len(self._heap) and self._less(right, smallest):
                smallest = right
            if smallest == index:
                break
            self._swap(index, smallest)
            index = smallest
