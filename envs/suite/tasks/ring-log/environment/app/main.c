#include "ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(const struct ring *ring, const char *wanted)
{
    char *text = malloc(ring->size);
    size_t offset = 0;

    if (text == NULL)
        abort();
    while (ring_next(ring, &offset, text)) {
        if (wanted == NULL || strncmp(text, wanted, strlen(wanted)) == 0)
            puts(text);
    }
    free(text);
}

static void act(struct ring *ring, const char *line)
{
    if (strncmp(line, "add ", 4) == 0) {
        if (!ring_add(ring, line + 4))
            puts("too long");
    } else if (strcmp(line, "show") == 0) {
        show(ring, NULL);
    } else if (strncmp(line, "find ", 5) == 0) {
        show(ring, line + 5);
    } else if (strcmp(line, "stat") == 0) {
        printf("%zu %zu %zu\n", ring->entries, ring->used, ring->size - ring->used);
    } else if (strncmp(line, "drop ", 5) == 0) {
        for (long n = strtol(line + 5, NULL, 10); n > 0 && ring_drop(ring); n--)
            ;
    } else {
        puts("unknown command");
    }
}

int main(int argc, char **argv)
{
    struct ring ring;
    char *line = NULL;
    size_t room = 0;
    long size = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

    if (size < 1 || !ring_open(&ring, (size_t)size)) {
        fprintf(stderr, "usage: ringlog BYTES\n");
        return 2;
    }
    while (getline(&line, &room, stdin) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        act(&ring, line);
    }
    free(line);
    ring_close(&ring);
    return EXIT_SUCCESS;
}
