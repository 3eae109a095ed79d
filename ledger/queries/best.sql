-- The three best values of each metric under one protocol and sample count; never across protocols
-- A measurement that several runs share takes one place, under the run that measured it.
WITH ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY metric, protocol_id, num_samples
            ORDER BY if(metric IN ('isc', 'precision', 'recall'), -value, value), recorded_at
        ) AS place
    FROM (
        SELECT DISTINCT ON (measured_by, stage_id, metric) *
        FROM results
        WHERE purpose = 'run' AND isfinite(value)
        ORDER BY reused, execution_id, evaluation
    )
)
SELECT
    metric,
    protocol_id,
    num_samples,
    place,
    value,
    se,
    study,
    title,
    evaluation,
    checkpoint_step,
    run_id,
    measured_by
FROM ranked
WHERE place <= 3
ORDER BY metric, protocol_id, num_samples, place
