-- The recorded numbers of one run over its steps; $run: how the run's or execution's id begins
SELECT
    progress.execution_id,
    coalesce(stages.name, progress.stage_id) AS stage,
    progress.step,
    progress.name,
    progress.value
FROM progress
JOIN executions USING (execution_id)
LEFT JOIN stages USING (execution_id, stage_id)
WHERE starts_with(executions.run_id, $run) OR starts_with(execution_id, $run)
ORDER BY progress.name, progress.execution_id, stage, progress.step
