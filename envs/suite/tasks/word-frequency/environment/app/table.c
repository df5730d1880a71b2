#include "table.h"

#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

void table_add(struct table *table, const char *word)
{
    for (size_t i = 0; i < table->used; i++) {
        if (strcmp(table->entries[i].word, word) == 0) {
            table->entries[i].count++;
            return;
        }
    }
    if (table->entries == NULL) {
        table->room = 64;
        table->entries = check(malloc(table->room * sizeof *table->entries));
    }
    char *copy = check(malloc(strlen(word)));
    strcpy(copy, word);
    table->entries[table->used].word = copy;
    table->entries[table->used].count = 1;
    table->used++;
}

static int compare(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;

    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return 0;
}

void table_sort(struct table *table)
{
    if (table->used > 1)
        qsort(table->entries, table->used, sizeof *table->entries, compare);
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->used; i++)
        free(table->entries[i].word);
    free(table->entries);
}
