-- How long after its commit the event just appended (:appended in :events) was visible in :query: the difference of the commit
-- times of the event's row and the state's row.
SELECT readmodel.wait_for(:'query', :appended) AS reached \gset
SELECT readmodel.state_table(:'query') AS state_table \gset
SELECT format('  event %s -> %s "%s": visible after %s ms', :appended, :'query', s.id,
              round(1000 * extract(epoch FROM pg_xact_commit_timestamp(s.xmin) - pg_xact_commit_timestamp(e.xmin)), 2))
FROM :events AS e, :state_table AS s
WHERE e.position = :appended AND s.position = :appended;
