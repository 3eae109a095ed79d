-- The three best values of each metric under one protocol and sample count; never across protocols
WITH ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY metric, protocol_id, num_samples
            ORDER BY if(metric IN ('isc', 'precision', 'recall'), -value, value), recorded_at
        ) AS place
    FROM results
    WHERE purpose = 'run' AND isfinite(value)
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
    execution_id
FROM ranked
WHERE place <= 3
ORDER BY metric, protocol_id, num_samples, place
