-- How many runs and executions each study started, and how they ended; superseded: killed, and done again
SELECT *
FROM denominator
ORDER BY study, purpose
