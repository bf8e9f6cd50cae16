# Spares hpcc the products of matrices that it computes before it comes to its tests of memory, for which they take the most
# time by far. Loaded before the library that has it, this is the function that computes them: it does nothing. Of that hpcc
# finds the products wrong, and goes on.
#
#     as -o no_dgemm.o no_dgemm.s && ld -shared -o no_dgemm.so no_dgemm.o

        .globl  cblas_dgemm
        .type   cblas_dgemm, @function
cblas_dgemm:
        ret
        .size   cblas_dgemm, . - cblas_dgemm
        .section .note.GNU-stack, "", @progbits
