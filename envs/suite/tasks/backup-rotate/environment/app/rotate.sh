#!/bin/bash
# rotate.sh DIR KEEP: keep the KEEP newest *.bak files of a directory.

fail() {
    echo "rotate.sh: $1" >&2
    exit 2
}

[ $# -eq 2 ] || fail "usage: rotate.sh DIR KEEP"
dir=$1
keep=$2
[ -d "$dir" ] || fail "no such directory: $dir"

cd "$dir" || fail "cannot enter $dir"
count=$(ls *.bak | wc -l)
surplus=$((count - keep + 1))
for name in $(ls *.bak | sort | head -n $surplus); do
    rm $name && echo "removed $name"
done
