-- The recorded numbers of one run over its steps; $run: how the run's or execution's id begins
WITH chosen AS (
    SELECT if(
        count(DISTINCT coalesce(run_id, execution_id)) = 1,
        $run,
        error(concat('$run fits ', count(DISTINCT coalesce(run_id, execution_id)), ' runs, expected one'))
    ) AS beginning
    FROM executions
    WHERE starts_with(run_id, $run) OR starts_with(execution_id, $run)
)
SELECT
    progress.execution_id,
    coalesce(stages.name, progress.stage_id) AS stage,
    progress.step,
    progress.name,
    progress.value
FROM chosen
JOIN executions ON starts_with(run_id, beginning) OR starts_with(execution_id, beginning)
JOIN progress USING (execution_id)
LEFT JOIN stages USING (execution_id, stage_id)
ORDER BY progress.name, progress.execution_id, stage, progress.step
