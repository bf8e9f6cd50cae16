# The 50th and 99th percentile of latencies, in microseconds, by the distribution that memaslap prints over all requests.
#
# It counts latencies by how many binary digits they have, four counts a line behind the digits of the first of them. Inside
# of such a group, from one power of two to the next, latencies are taken to be spread evenly by their logarithm.
/^Total Statistics \(/ { wanted = 1 }
wanted && /^ +Max:/ { most = $2 }
wanted && /^ +[0-9]+:/ {
    digits = $1 + 0
    for (field = 2; field <= NF; field++) {
        count[digits + field - 2] = $field
        total += $field
        last = digits + field - 2
    }
}
wanted && NF == 0 { wanted = 0 }

function percentile(share,    digits, below, value) {
    below = 0
    for (digits = 0; digits <= last; digits++) {
        if (count[digits] > 0 && below + count[digits] >= share * total) {
            value = 2 ^ (digits - 1 + (share * total - below) / count[digits])
            return value < most ? value : most
        }
        below += count[digits]
    }
}

END {
    if (total == 0) exit 1
    printf "latency p50 %.0f us\nlatency p99 %.0f us\n", percentile(0.5), percentile(0.99)
}
