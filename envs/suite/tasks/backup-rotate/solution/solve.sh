#!/bin/bash
# Names are handled as an array of whole names, and exactly the surplus ones are removed.
set -euo pipefail

cat > rotate.sh <<'EOF'
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
case $keep in
    '' | *[!0-9]*) fail "KEEP has to be a whole number: $keep" ;;
esac

cd -- "$dir" || fail "cannot enter $dir"
export LC_ALL=C
shopt -s nullglob
backups=()
for name in *.bak; do
    if [ -f "$name" ] && [ ! -L "$name" ]; then
        backups+=("$name")
    fi
done
surplus=$((${#backups[@]} - 10#$keep))
for ((i = 0; i < surplus; i++)); do
    rm -- "${backups[i]}" && printf 'removed %s\n' "${backups[i]}"
done
exit 0
EOF
