#!/bin/sh
# Runs HPC Challenge as far as one of its sections, and prints the figures of that section after hpcc's own output.
#
#     run.sh SECTION N BLOCK FRACTION MEMORY PROCESSES THREADS [PRELOADED]
#
# SECTION is HPL, StarSTREAM, StarRandomAccess or StarFFT. N is the order of the matrix of HPL, from whose size hpcc takes
# those of all its tests; 0 is as large as FRACTION of MEMORY bytes allows, at most 45000, as in Felter et al. BLOCK is the
# size of HPL's blocks. PRELOADED is a library that is loaded before those that hpcc asks for.
#
# hpcc has no way to run one test: it always runs all of them, in the same order. So it writes its results into a pipe, and
# is ended when the wanted section has come out of that.
set -eu
section=$1 n=$2 block=$3 fraction=$4 memory=$5 processes=$6 threads=$7 preloaded=${8:-}
here=$(dirname "$0")

if [ "$n" -eq 0 ]; then
    n=$(awk -v bytes="$memory" -v fraction="$fraction" 'BEGIN {print int(sqrt(bytes * fraction / 8))}')
    if [ "$n" -gt 45000 ]; then n=45000; fi
fi
# As near to a square as can be, which suits HPL best.
rows=$processes
while [ $((rows * rows)) -gt "$processes" ] || [ $((processes % rows)) -ne 0 ]; do rows=$((rows - 1)); done
directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
cd "$directory"
cat >hpccinf.txt <<END
HPLinpack benchmark input file

HPL.out  file for the results, if the device is a file
8        device: a file
1        number of orders
$n
1        number of block sizes
$block
0        mapping of processes: by row
1        number of process grids
$rows  rows
$((processes / rows))  columns
16.0     threshold of the residual
1        number of panel factorisations
2        right
1        number of stopping criteria
4
1        number of panels in the recursion
2
1        number of recursive panel factorisations
1        Crout
1        number of broadcasts
1        modified ring
1        number of lookahead depths
1
2        swapping: mixed
64       threshold of swapping
0        L1 transposed
0        U transposed
1        equilibration
8        alignment in doubles
#####    the rest is for PTRANS
0        number of further orders

0        number of further block sizes

END

mkfifo hpccoutf.txt
exec 3<>hpccoutf.txt
# Neither the threads of OpenBLAS nor the processes of MPI may be bound to one CPU; MPI copies through shared memory in every
# arm, because reading another process's memory is not allowed in all of them.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_rmaps_base_oversubscribe=1
export OPENBLAS_NUM_THREADS="$threads"
(
    mpirun -np "$processes" env LD_PRELOAD="$preloaded" hpcc </dev/null >&2 3>&- &
    echo $! >pid
    wait $! || true
    echo "hpcc has ended" >&3
) &
last=$section
if [ "$section" = HPL ]; then last=Summary; fi
sed -e "/^End of $last section/q" -e '/^hpcc has ended$/q' <&3 >results.txt
kill "$(cat pid)" 2>/dev/null || true
wait
cat results.txt
awk -v section="$section" -v processes="$processes" -f "$here/figures.awk" results.txt
