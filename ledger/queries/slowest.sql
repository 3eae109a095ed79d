-- Where the time goes: seconds of wall clock and processor by kind of stage and study
SELECT
    executions.study,
    stage_events.stage_kind,
    count(*) AS num_done,
    round(sum(stage_events.elapsed_s), 1) AS elapsed_s,
    round(sum(stage_events.cpu_s), 1) AS cpu_s,
    round(median(stage_events.elapsed_s), 1) AS median_elapsed_s
FROM stage_events
JOIN executions USING (execution_id)
WHERE stage_events.event = 'done'
GROUP BY ALL
ORDER BY elapsed_s DESC
