-- Every recorded choice and deviation, with what it was made from
SELECT
    decisions.recorded_at,
    executions.study,
    executions.title,
    decisions.topic,
    decisions.facts,
    decisions.execution_id
FROM decisions
JOIN executions USING (execution_id)
ORDER BY decisions.recorded_at DESC
