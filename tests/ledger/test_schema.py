"""What the views join and count."""

from attrs import evolve

from repro.ledger import query, segment
from tests.ledger.ledgers import EVALUATE, PLAN, event, execute, measurement, reuse, start

RESULTS = """
    SELECT title, evaluation, metric, value, reused, measured_by, execution_id
    FROM results ORDER BY title, evaluation, metric
"""


def test_a_reused_evaluation_has_its_row(tmp_path):
    """A run that measured nothing itself has the numbers that it reused, and says from whom."""
    earlier = execute(tmp_path, "one")
    later = reuse(tmp_path, earlier, "two")

    assert query(tmp_path, RESULTS).rows == (
        ("one", "last", "fid", 12.5, False, earlier, earlier),
        ("two", "last", "fid", 12.5, True, earlier, later),
    )


def test_equal_evaluations_have_a_row_each(tmp_path):
    """Two names of one evaluation stage are two rows of one measurement."""
    plan = (*PLAN, {**PLAN[1], "name": "again"})
    with segment.begin(tmp_path, evolve(start(), stages=plan)) as execution:
        execution.append(measurement())
        execution.append(event(EVALUATE, "done"))
    by = execution.execution_id

    assert query(tmp_path, RESULTS).rows == (
        ("one", "again", "fid", 12.5, False, by, by),
        ("one", "last", "fid", 12.5, False, by, by),
    )


def test_the_newest_execution_of_a_run_counts(tmp_path):
    """A run has one row per evaluation and metric, even if it was executed again."""
    execute(tmp_path, "one", value=12.5)
    newest = execute(tmp_path, "one", value=11.5)

    assert query(tmp_path, RESULTS).rows == (("one", "last", "fid", 11.5, False, newest, newest),)


def test_an_unfinished_evaluation_is_no_result(tmp_path):
    """A number of a stage that failed is recorded, but no result; the earlier one stands."""
    earlier = execute(tmp_path, "one")
    with segment.begin(tmp_path, start("one")) as execution:
        execution.append(measurement(1.0))
        execution.append(event(EVALUATE, "failed"))

    assert query(tmp_path, RESULTS).rows == (("one", "last", "fid", 12.5, False, earlier, earlier),)
    assert query(tmp_path, "SELECT count(*) FROM measurements").rows == ((2,),)


def test_a_rehearsal_hides_no_run(tmp_path):
    """Rehearsed numbers of an equal spec have rows of their own."""
    execute(tmp_path, "one")
    with segment.begin(tmp_path, start("one", purpose="rehearsal")) as execution:
        execution.append(measurement(1.0))
        execution.append(event(EVALUATE, "done"))

    assert query(tmp_path, "SELECT purpose, value FROM results ORDER BY purpose").rows == (
        ("rehearsal", 1.0),
        ("run", 12.5),
    )


def test_a_killed_execution_is_counted_when_its_run_goes_on(tmp_path):
    """An execution without a seal is open, and superseded once its run is executed again."""
    counts = "SELECT num_runs_done, num_open, num_superseded FROM denominator"
    killed = segment.begin(tmp_path, start("one"))
    segment.begin(tmp_path, start("one", purpose="rehearsal"))
    execute(tmp_path, "two")
    of_runs = f"{counts} WHERE purpose = 'run'"
    assert query(tmp_path, of_runs).rows == ((1, 1, 0),)

    again = execute(tmp_path, "one")

    assert query(tmp_path, of_runs).rows == ((2, 1, 1),)
    superseded = "SELECT execution_id, superseded_by FROM executions WHERE superseded_by NOTNULL"
    assert query(tmp_path, superseded).rows == ((killed.execution_id, again),)
    assert query(tmp_path, "SELECT sum(num_superseded) FROM runs").rows == ((1,),)
