"""Numbers from other trackers and from papers, and the ledger's own numbers for other programs.

told             what a source tells: runs, and their curves
importing        from what is told to records, each number once
json_numbers     files of numbers: tables of a write-up, logs of a training
mlflow_database  MLflow's SQLite database
trackio_database trackio's SQLite databases
event_files      TensorBoard's event files
event_export     the ledger as such files, with its pictures
sqlite_file      somebody else's SQLite file, opened without touching it
parquet          every table of the ledger as a Parquet file
mlflow_server    executions as runs of an MLflow server

What is imported has the trust of hearsay: it can be queried and drawn, and no claim can rest on it.
"""

from repro.ledger.exchange.event_export import Written, export_events
from repro.ledger.exchange.importing import FORMATS, Counts, import_numbers
from repro.ledger.exchange.mlflow_server import Sent, export_mlflow
from repro.ledger.exchange.parquet import export_tables

__all__ = [
    "FORMATS",
    "Counts",
    "Sent",
    "Written",
    "export_events",
    "export_mlflow",
    "export_tables",
    "import_numbers",
]
