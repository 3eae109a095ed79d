"""What happened: append, fold, store, verify, query. The only package that knows DuckDB.

segment      an execution's append-only, hash-chained file, and its writer
store        artifacts, named by the digest of their bytes
history      what the segments say, read without a database
fold         segments to tables; `rebuild` makes them anew
database     SQL over those tables, reading only
verify       names the first broken link of everything
head         one digest over all seals
provenance   which code, on which machine, in which environment
"""
