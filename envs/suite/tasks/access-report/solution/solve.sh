#!/bin/bash
# A line is taken apart at its quotes, then everything is counted in awk and sorted numerically.
set -euo pipefail

cat > report.sh <<'EOF'
#!/bin/bash
# report.sh LOGFILE: requests, errors, bytes and the most requested paths of an access log.

log=$1
[ -f "$log" ] && [ -r "$log" ] || { echo "report.sh: cannot read $log" >&2; exit 2; }
export LC_ALL=C

# One line per good request: status, bytes, path (which may contain spaces). Bad lines: a single "-".
parsed=$(awk '
    {
        if (!match($0, /^[^ ]+ [^ ]+ [^ ]+ \[[^]]*\] "/)) { print "-"; next }
        rest = substr($0, RLENGTH + 1)
        if (!match(rest, /" [0-9][0-9][0-9] ([0-9]+|-)$/)) { print "-"; next }
        request = substr(rest, 1, RSTART - 1)
        split(substr(rest, RSTART + 2), tail, " ")
        if (request !~ /^[A-Z]+ .+ HTTP\/[0-9.]+$/) { print "-"; next }
        sub(/^[A-Z]+ /, "", request)
        sub(/ HTTP\/[0-9.]+$/, "", request)
        sub(/\?.*$/, "", request)
        print tail[1], (tail[2] == "-" ? 0 : tail[2]), request
    }' "$log")

printf '%s\n' "$parsed" | awk '
    $0 == "-" || $0 == "" { next }
    { requests++; bytes += $2; if ($1 >= 400 && $1 <= 599) errors++ }
    END { printf "requests %d\nerrors %d\nbytes %.0f\ntop\n", requests, errors, bytes }'
printf '%s\n' "$parsed" | awk '
    $0 == "-" || $0 == "" { next }
    { sub(/^[0-9]+ [0-9]+ /, ""); count[$0]++ }
    END { for (path in count) print count[path] " " path }' | sort -t ' ' -k1,1nr -k2 | head -n 3

skipped=$(printf '%s\n' "$parsed" | grep -c '^-$')
if [ "$skipped" -gt 0 ]; then
    echo "skipped $skipped" >&2
fi
exit 0
EOF
