-- Declarative updaters: a JSON spec, folded natively.

-- Per travel permit, over the permit itself and all declarations and prepaid costs that belong to it: these name their permit, the
-- permit's own events are in its stream. A list of steps; each has a key of its own and applies where its condition holds.
SELECT readmodel.define_query('travel-permits', 'log', spec => $$
{ "key": "$event.stream",
  "on": {
    "Declaration SUBMITTED by EMPLOYEE": [
      {"key": "$.permit",
       "add": {"events": 1, "submitted": "$.amount"}, "set": {"lastType": "$event.type"}},
      {"when": {"not": {"exists": "$.permit"}},
       "add": {"events": 1, "submitted": "$.amount"}, "set": {"lastType": "$event.type"}}],
    "*": [
      {"key": "$.permit",
       "default": {"submitted": 0}, "add": {"events": 1}, "set": {"lastType": "$event.type"}},
      {"when": {"not": {"exists": "$.permit"}},
       "default": {"submitted": 0}, "add": {"events": 1}, "set": {"lastType": "$event.type"}}] } }
$$);

-- Per organisational unit. Domestic declarations name none: their key is missing, so they do not concern this query. A member of
-- "entities" is named by the event.
SELECT readmodel.define_query('units', 'log', spec => $$
{ "key": "$.unit",
  "on": {
    "Declaration SUBMITTED by EMPLOYEE":
      {"add": {"events": 1, "entities[$event.metadata.entity]": 1, "submitted": "$.amount"},
       "set": {"last": "$event.occurredAt"}},
    "*":
      {"default": {"submitted": 0}, "add": {"events": 1, "entities[$event.metadata.entity]": 1},
       "set": {"last": "$event.occurredAt"}} } }
$$);

-- The same by a function, in PL/pgSQL: for what a spec cannot say.
CREATE FUNCTION log.unit(state jsonb, event jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    entity text := event -> 'metadata' ->> 'entity';
    entities jsonb := coalesce(state -> 'entities', '{}');
    submitted numeric := coalesce((state ->> 'submitted')::numeric, 0);
BEGIN
    IF event ->> 'type' LIKE 'Declaration SUBMITTED%' THEN
        submitted := submitted + coalesce((event -> 'data' ->> 'amount')::numeric, 0);
    END IF;
    RETURN jsonb_build_object(
        'events', coalesce((state ->> 'events')::int, 0) + 1,
        'entities', entities || jsonb_build_object(entity, coalesce((entities ->> entity)::int, 0) + 1),
        'last', event -> 'occurredAt',
        'submitted', submitted);
END $$;

SELECT readmodel.define_query('units-by-function', 'log', 'log.unit(jsonb, jsonb)', key => $$data->>'unit'$$);
