"""Processes that are killed, disks that are full, and what must hold afterwards.

faults       a fault at a chosen system call: killed, torn, no space
victims      what a process does until it is killed, saying what was acknowledged
nursery      a process that forks victims and kills them
small_disk   a disk of its own that is really full
powerless    root, without the power to write where modes forbid it
suites       kill, look, go on: how often, and what was found broken

`tests/ledger/test_crashes.py` and `test_disk.py` run the suites at small counts,
`tools/bench/bench_crashes.py` at full ones.
"""
