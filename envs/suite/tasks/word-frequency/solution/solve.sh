#!/bin/bash
# Buffers grow as needed, the last word is stored at the end of the input, and ties are compared by word.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "table.c",
    '''\
    if (table->entries == NULL) {
        table->room = 64;
        table->entries = check(malloc(table->room * sizeof *table->entries));
    }
    char *copy = check(malloc(strlen(word)));
''',
    '''\
    if (table->used == table->room) {
        table->room = table->room ? 2 * table->room : 64;
        table->entries = check(realloc(table->entries, table->room * sizeof *table->entries));
    }
    char *copy = check(malloc(strlen(word) + 1));
''',
)
replace(
    "table.c",
    '''\
        return left->count > right->count ? -1 : 1;
    return 0;
''',
    '''\
        return left->count > right->count ? -1 : 1;
    return strcmp(left->word, right->word);
''',
)
replace(
    "wordfreq.c",
    r'''static void count_words(FILE *input, struct table *table)
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
}''' + "\n",
    r'''static void count_words(FILE *input, struct table *table)
{
    char *word = NULL;
    size_t length = 0, room = 0;
    int c;

    do {
        c = getc(input);
        if (length + 1 >= room) {
            room = room ? 2 * room : 32;
            word = realloc(word, room);
            if (word == NULL)
                abort();
        }
        if (c != EOF && c < 128 && isalpha(c)) {
            word[length++] = (char)tolower(c);
        } else if (length > 0) {
            word[length] = '\0';
            table_add(table, word);
            length = 0;
        }
    } while (c != EOF);
    free(word);
}''' + "\n",
)
EOF
