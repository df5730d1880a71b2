#include "ring.h"

#include <stdlib.h>
#include <string.h>

bool ring_open(struct ring *ring, size_t size)
{
    *ring = (struct ring){malloc(size), size, 0, 0, 0};
    return ring->bytes != NULL;
}

void ring_close(struct ring *ring)
{
    free(ring->bytes);
}

bool ring_add(struct ring *ring, const char *text)
{
    size_t need = strlen(text) + 1;

    if (need >= ring->size)
        return false;
    while (ring->used + need >= ring->size && ring_drop(ring))
        ;
    memcpy(ring->bytes + ring->start + ring->used, text, need);
    ring->used += need;
    ring->entries++;
    return true;
}

bool ring_drop(struct ring *ring)
{
    if (ring->entries == 0)
        return false;
    while (ring->bytes[ring->start] != '\0') {
        ring->start++;
        ring->used--;
    }
    ring->entries--;
    return true;
}

bool ring_next(const struct ring *ring, size_t *offset, char *text)
{
    if (*offset >= ring->used)
        return false;
    size_t length = strlen(ring->bytes + ring->start + *offset);
    memcpy(text, ring->bytes + ring->start + *offset, length + 1);
    *offset += length + 1;
    return true;
}
