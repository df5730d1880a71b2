#include "stats.h"

#include <stdlib.h>

int main(void)
{
    double *values;
    size_t count = read_numbers(stdin, &values);

    printf("%zu %.*f %.*f\n", count, STATS_DIGITS, mean(values, count), STATS_DIGITS, deviation(values, count));
    free(values);
    return 0;
}
