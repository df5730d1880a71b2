#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>

/* Entries one after the other, each closed by a zero byte, wrapping around the end. */
struct ring {
    char *bytes;
    size_t size;
    size_t start; /* of the oldest entry */
    size_t used;
    size_t entries;
};

bool ring_open(struct ring *ring, size_t size);
void ring_close(struct ring *ring);

/* False when the text can never fit; the ring is as it was. */
bool ring_add(struct ring *ring, const char *text);

/* Removes the oldest entry; false when there is none. */
bool ring_drop(struct ring *ring);

/* Copies the entry at *offset (0 for the oldest) to `text`, which has room for `size` bytes, and moves on. */
bool ring_next(const struct ring *ring, size_t *offset, char *text);

#endif
