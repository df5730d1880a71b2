#include "table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static void count_words(FILE *input, struct table *table)
{
    char word[32];
    size_t length = 0;
    int c;

    while ((c = getc(input)) != EOF) {
        if (c < 128 && isalpha(c)) {
            word[length++] = (char)tolower(c);
        } else if (length > 0) {
            word[length] = '\0';
            table_add(table, word);
            length = 0;
        }
    }
}

int main(void)
{
    struct table table = {NULL, 0, 0};

    count_words(stdin, &table);
    table_sort(&table);
    for (size_t i = 0; i < table.used; i++)
        printf("%lu %s\n", table.entries[i].count, table.entries[i].word);
    table_free(&table);
    return EXIT_SUCCESS;
}
