-- What the states must be, computed from the events by plain SQL.
CREATE VIEW log.permit_oracle AS
SELECT coalesce(data ->> 'permit', stream_id) AS id,
       jsonb_build_object('events', count(*),
                          'lastType', (array_agg(type ORDER BY position DESC))[1],
                          'submitted', coalesce(sum((data ->> 'amount')::numeric)
                                                FILTER (WHERE type LIKE 'Declaration SUBMITTED%'), 0)) AS state
FROM log.events
GROUP BY 1;

CREATE VIEW log.unit_oracle AS
WITH per_entity AS (
    SELECT data ->> 'unit' AS id, entity, count(*) AS events, max(position) AS last_position,
           coalesce(sum((data ->> 'amount')::numeric) FILTER (WHERE type LIKE 'Declaration SUBMITTED%'), 0) AS submitted
    FROM log.events WHERE data ->> 'unit' IS NOT NULL
    GROUP BY 1, 2)
SELECT p.id,
       jsonb_build_object('events', sum(events), 'entities', jsonb_object_agg(p.entity, events),
                          'last', (SELECT to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                                   FROM log.events WHERE position = max(p.last_position)),
                          'submitted', sum(submitted)) AS state
FROM per_entity AS p
GROUP BY p.id;

CREATE VIEW public.oracle AS
SELECT 'travel-permits' AS query, id, state FROM log.permit_oracle
UNION ALL SELECT 'units', id, state FROM log.unit_oracle
UNION ALL SELECT 'units-by-function', id, state FROM log.unit_oracle;

CREATE VIEW public.states AS
SELECT 'travel-permits' AS query, id, state FROM readmodel."travel-permits"
UNION ALL SELECT 'units', id, state FROM readmodel.units
UNION ALL SELECT 'units-by-function', id, state FROM readmodel."units-by-function";
