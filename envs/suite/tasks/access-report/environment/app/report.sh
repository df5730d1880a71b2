#!/bin/bash
# report.sh LOGFILE: requests, errors, bytes and the most requested paths of an access log.

log=$1
[ -r "$log" ] || { echo "report.sh: cannot read $log" >&2; exit 2; }

echo "requests $(wc -l < "$log")"
echo "errors $(grep -c ' [45]' "$log")"
echo "bytes $(awk '{ sum += $9 } END { print sum + 0 }' "$log")"
echo "top"
awk '{ print $6 }' "$log" | sort | uniq -c | sort -r | head -n 3 | awk '{ print $1, $2 }'
