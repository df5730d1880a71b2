#include "stats.h"

#include <stdlib.h>

size_t read_numbers(FILE *input, double **values)
{
    size_t count = 0, room = 0;
    double value;

    *values = NULL;
    while (fscanf(input, "%lf", &value) == 1) {
        if (count == room) {
            room = room ? 2 * room : 16;
            *values = realloc(*values, room * sizeof **values);
            if (*values == NULL)
                abort();
        }
        (*values)[count++] = value;
    }
    return count;
}
