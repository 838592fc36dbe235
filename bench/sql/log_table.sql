-- A log of any size, quickly filled.
CREATE SCHEMA log;
CREATE TABLE log.events (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream_id text, type text, data jsonb);
SELECT readmodel.create_source('log', 'log.events');

CREATE PROCEDURE log.fill(events bigint, instances bigint)
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log.events (stream_id, type, data)
    SELECT 'stream-' || i % instances, 'Counted',
           jsonb_build_object('instance', 'instance-' || i % instances, 'amount', i % 1000 + 0.25, 'n', i)
    FROM generate_series(1, events) AS i;
END $$;
