-- A read model is a view.
SELECT id, state ->> 'events' AS events, state ->> 'lastType' AS last_type, state ->> 'submitted' AS submitted, position
FROM readmodel."travel-permits" ORDER BY (state ->> 'submitted')::numeric DESC, id LIMIT 5;
SELECT id, state ->> 'events' AS events, state ->> 'submitted' AS submitted, state ->> 'last' AS last
FROM readmodel.units ORDER BY (state ->> 'events')::int DESC, id LIMIT 5;
