-- How many runs and executions each study started, and how they ended
SELECT *
FROM denominator
ORDER BY study, purpose
