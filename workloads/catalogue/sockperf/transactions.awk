# Passes sockperf's report on and adds the rate of its transactions; exits with 1 where the report is of no use.
#
# A lost message ends an exchange of one message at a time, and sockperf, which exits with 0 then, reports on what was
# before. It measures for 0.45 less than `seconds`, in which it warms up and cools down. A tenth and 0.1 s may be missing
# too, for a last message that waits for a CPU.

{ print }

/\[Valid Duration\]/ {
    split($0, field, /[=; ]+/)
    measured = field[5]
    received = field[10]
}

/# dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0/ { lossless = 1 }

END {
    if (!lossless || received == 0 || measured < 0.9 * (seconds - 0.45) - 0.1) {
        print "messages were lost, or the server did not answer" > "/dev/stderr"
        exit 1
    }
    printf "%.2f transactions per second\n", received / measured
}
