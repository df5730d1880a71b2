#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>

struct entry {
    char *word;
    unsigned long count;
};

struct table {
    struct entry *entries;
    size_t used;
    size_t room;
};

/* Counts a word once more; the table keeps its own copy. */
void table_add(struct table *table, const char *word);

/* Most frequent first, equal counts in byte order. */
void table_sort(struct table *table);

void table_free(struct table *table);

#endif
