# Takes percentiles of wake-up latency, in microseconds, from what cyclictest writes as JSON: those of all threads together.
#
#     awk -f percentiles.awk cyclictest.json
#
# cyclictest puts each number on a line of its own. A percentile is the least latency that so many of all wake-ups kept to;
# those beyond the end of the histogram are counted in the cycles alone.

{ gsub(/[",:]/, "") }

/^ *histogram \{/ { inside = 1; next }
/\}/ { inside = 0 }
inside { count[$1] += $2; if ($1 > last) last = $1 }
$1 == "cycles" { cycles += $2 }
$1 == "max" { threads++; if ($2 > most) most = $2 }

# Prints the percentile, or fails if it is beyond the histogram.
function percentile(part, name,    wanted, seen, latency) {
    wanted = part * cycles
    for (latency = 0; latency <= last; latency++) {
        seen += count[latency]
        if (seen >= wanted) {
            printf "%s: %d us\n", name, latency
            return
        }
    }
    print name " is beyond the histogram, which has " seen " of " cycles " wake-ups" > "/dev/stderr"
    exit 1
}

END {
    if (!threads || !cycles) {
        print "cyclictest counted no wake-up" > "/dev/stderr"
        exit 1
    }
    percentile(0.5, "p50")
    percentile(0.999, "p99.9")
    printf "max: %d us\n", most
}
