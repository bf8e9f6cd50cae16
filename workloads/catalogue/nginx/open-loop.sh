# open-loop.sh URL RATE SECONDS: requests at RATE a second by h2load, and percentiles of the time until each was answered.
#
# Ten requests a second go over each connection (h2load looks at its clock every 10 ms, so that more would go in bunches),
# and connections begin one after the other, so that requests are spread evenly. A connection may have all of its requests
# under way at once (-m): none waits until an earlier one is answered, and no stall of the server hides from the figures.
# h2load has no percentiles, but writes down every request.

url=$1 rate=$2 seconds=$3
connections=$((rate / 10))
each=$((10 * seconds))
total=$((connections * each))
begun_at_once=$(((rate + 999) / 1000))
period=$((1000 * begun_at_once / rate))

directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
h2load --h1 -n "$total" -c "$connections" -m "$each" --rps=10 -r "$begun_at_once" --rate-period="${period}ms" \
    --log-file="$directory/requests" "$url" | tee "$directory/report"

complete="^requests: $total total, $total started, $total done, $total succeeded, 0 failed, 0 errored, 0 timeout$"
grep -q "$complete" "$directory/report" || { echo "not all of $total requests were answered with success" >&2; exit 1; }

# A line a request: when it was sent, in µs; status; how long it took, in µs.
sort -n -k 3 "$directory/requests" | awk -F '\t' -v "total=$total" '
    { took[NR] = $3 }
    NR == 1 || $1 < first { first = $1 }
    $1 + $3 > last { last = $1 + $3 }
    END {
        if (NR != total) { print NR " requests logged of " total > "/dev/stderr"; exit 1 }
        printf "latency p50 %d us\nlatency p99 %d us\n", took[int(0.5 + 0.5 * NR)], took[int(0.5 + 0.99 * NR)]
        printf "%.2f requests per second answered\n", NR / (last - first) * 1000000
    }'
