-- Per travel permit, over the permit itself and all declarations and prepaid costs that belong to it.
CREATE FUNCTION log.permit(state jsonb, event jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    submitted numeric := coalesce((state ->> 'submitted')::numeric, 0);
BEGIN
    IF event ->> 'type' LIKE 'Declaration SUBMITTED%' THEN
        submitted := submitted + coalesce((event -> 'data' ->> 'amount')::numeric, 0);
    END IF;
    RETURN jsonb_build_object('events', coalesce((state ->> 'events')::int, 0) + 1,
                              'lastType', event -> 'type',
                              'submitted', submitted);
END $$;

SELECT readmodel.define_query('travel-permits', 'log', 'log.permit(jsonb, jsonb)',
                              key => $$coalesce(data->>'permit', stream)$$);

-- Per organisational unit. Domestic declarations name none: their key is NULL, so they do not concern this query.
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

SELECT readmodel.define_query('units', 'log', 'log.unit(jsonb, jsonb)', key => $$data->>'unit'$$);
