-- A small state over any log with the members instance, amount and n: number of events, exact total, the last n. The table
-- log.events and the source "log" are made by whoever uses this.

CREATE FUNCTION log.counter(state jsonb, event jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN jsonb_build_object(
        'events', coalesce((state ->> 'events')::bigint, 0) + 1,
        'total', coalesce((state ->> 'total')::numeric, 0) + (event #>> '{data,amount}')::numeric,
        'last', event #> '{data,n}');
END $$;

-- kind: function or spec, as bench.define() of shop_queries.sql; types: NULL for all
CREATE FUNCTION bench.define_counter(name text, kind text, types text[] DEFAULT NULL) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    step jsonb := '{"add": {"events": 1, "total": "$.amount"}, "set": {"last": "$.n"}}';
BEGIN
    IF kind = 'function' THEN
        RETURN readmodel.define_query(name, 'log', 'log.counter(jsonb, jsonb)', key => $key$data->>'instance'$key$, event_types => types);
    END IF;
    RETURN readmodel.define_query(name, 'log', spec => jsonb_build_object(
        'key', '$.instance',
        'on', (SELECT jsonb_object_agg(type, step) FROM unnest(coalesce(types, '{*}')) AS type)));
END $$;

CREATE VIEW log.counter_oracle AS
SELECT data ->> 'instance' AS id,
       jsonb_build_object('events', count(*), 'total', sum((data ->> 'amount')::numeric),
                          'last', (array_agg(data -> 'n' ORDER BY position DESC))[1]) AS state
FROM log.events GROUP BY 1;
