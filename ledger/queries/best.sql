-- The three smallest values of each metric under each protocol and sample count
SELECT
    metric,
    protocol_id,
    num_samples,
    value,
    se,
    study,
    title,
    evaluation,
    checkpoint_step,
    run_id,
    execution_id
FROM results
WHERE purpose = 'run' AND isfinite(value)
QUALIFY
    row_number() OVER (
        PARTITION BY metric, protocol_id, num_samples ORDER BY value, execution_id, evaluation
    ) <= 3
ORDER BY metric, protocol_id, num_samples, value
