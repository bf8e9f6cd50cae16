# Lets cyclictest run where nobody may use a real-time policy. Before all else it tries whether it may, and ends if not, even
# if it is told to use none (check_privs of rt-tests 2.4). Loaded before the C library, this is the function that it calls
# for that: it says that the policy was set, and the threads keep the ordinary one that they have.
#
#     as -o ordinary.o ordinary.s && ld -shared -o ordinary.so ordinary.o

        .globl  sched_setscheduler
        .type   sched_setscheduler, @function
sched_setscheduler:
        xorl    %eax, %eax
        ret
        .size   sched_setscheduler, . - sched_setscheduler
        .section .note.GNU-stack, "", @progbits
