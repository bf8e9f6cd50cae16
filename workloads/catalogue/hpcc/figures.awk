# Takes the figures of one section from what hpcc wrote, and fails unless hpcc found its own results right.
#
#     awk -v section=SECTION -v processes=PROCESSES -f figures.awk hpccoutf.txt
#
# In a section whose name begins with Star every process does the whole work by itself while the others do the same, and
# hpcc tells their mean; so what all of them do together is that mean times their number.

function figure(name, value, unit) {
    # hpcc calls what it had no memory for right in some sections, with a figure of 0 or -1.
    if (value <= 0) wrong = 1
    found[++figures] = sprintf("%s: %.6g %s", name, value, unit)
}

/^Begin of / { inside = ($3 == section) }

inside && /^Node\(s\) with error 0$/ { right = 1 }
inside && /^Average / { figure(section (NF == 4 ? " " $2 : ""), processes * $NF, $(NF - 1)) }

inside && / PASSED$/ { passed = 1 }
section == "HPL" && /^HPL_Tflops=/ { figure(section, 1000 * substr($0, length("HPL_Tflops=") + 1), "Gflop/s") }
section == "HPL" && /^Success=1$/ { right = passed }

END {
    if (!right || wrong || !figures) {
        print "hpcc did not get as far as the end of " section " with a right result" > "/dev/stderr"
        exit 1
    }
    for (number = 1; number <= figures; number++)
        print found[number]
}
