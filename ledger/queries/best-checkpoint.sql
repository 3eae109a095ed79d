-- The best checkpoint of each run under one protocol, the next best, and how many it was chosen from
-- z: how many standard errors lie between the two; below 2 they are not told apart.
WITH comparable AS (
    SELECT *, if(metric IN ('isc', 'precision', 'recall'), -value, value) AS badness
    FROM results
    WHERE purpose = 'run' AND isfinite(value) AND checkpoint_step IS NOT NULL
),
checkpoints AS (
    SELECT DISTINCT ON (run_id, metric, protocol_id, num_samples, checkpoint_step)
        *,
        count(*) OVER (PARTITION BY run_id, metric, protocol_id, num_samples) AS num_values
    FROM comparable
    ORDER BY badness, evaluation
)
SELECT
    left(run_id, 8) AS run,
    title,
    metric,
    left(protocol_id, 8) AS protocol,
    num_samples,
    checkpoint_step AS best_step,
    evaluation,
    value,
    se,
    lead(checkpoint_step) OVER ranked AS next_step,
    lead(value) OVER ranked AS next_value,
    round(abs(value - next_value) / sqrt(se ** 2 + lead(se) OVER ranked ** 2), 1) AS z,
    count(*) OVER (PARTITION BY run_id, metric, protocol_id, num_samples) AS num_checkpoints,
    num_values
FROM checkpoints
WINDOW ranked AS (
    PARTITION BY run_id, metric, protocol_id, num_samples ORDER BY badness, checkpoint_step
)
QUALIFY row_number() OVER ranked = 1
ORDER BY metric, protocol, num_samples, badness, run
