#ifndef STATS_H
#define STATS_H

#include <stddef.h>
#include <stdio.h>

#define STATS_DIGITS 3

/* Reads numbers until the end of the input; returns how many there were. The caller frees *values. */
size_t read_numbers(FILE *input, double **values);

double mean(const double *values, size_t count);

/* Of the whole population; 0 for fewer than one value. */
double deviation(const double *values, size_t count);

#endif
