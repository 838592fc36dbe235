-- What plain SQL does with the same log, each in one statement on one core.
CREATE TABLE bench.by_hand (name text PRIMARY KEY, statement text NOT NULL);

-- The least that reads the same members of every event in the order of their positions.
INSERT INTO bench.by_hand VALUES ('scan', $$
    SELECT count(data ->> 'customer'), sum((data ->> 'amount')::numeric), count(data ->> 'order')
    FROM (SELECT data FROM shop.events ORDER BY position OFFSET 0) AS event$$);

-- A simpler state, written by hand for a log that is at rest: number of orders, exact total, last status. No list, no name.
-- Two ways to have the last status; the faster one of a run is the baseline.
INSERT INTO bench.by_hand VALUES ('group_by_join', $$
    INSERT INTO bench.state
    SELECT id, jsonb_build_object('orders', orders, 'total', total, 'status', last.type), last.position, now()
    FROM (SELECT data ->> 'customer' AS id, count(*) FILTER (WHERE type = 'OrderPlaced') AS orders,
                 coalesce(sum(coalesce((data ->> 'refund')::numeric, (data ->> 'amount')::numeric))
                              FILTER (WHERE type IN ('OrderPlaced', 'OrderReturned')), 0) AS total,
                 max(position) AS position
          FROM shop.events GROUP BY 1) AS sums
    JOIN shop.events AS last USING (position)$$),
('group_by_array', $$
    INSERT INTO bench.state
    SELECT data ->> 'customer', jsonb_build_object(
               'orders', count(*) FILTER (WHERE type = 'OrderPlaced'),
               'total', coalesce(sum(coalesce((data ->> 'refund')::numeric, (data ->> 'amount')::numeric))
                                     FILTER (WHERE type IN ('OrderPlaced', 'OrderReturned')), 0),
               'status', (array_agg(type ORDER BY position DESC))[1]), max(position), now()
    FROM shop.events GROUP BY 1$$);

CREATE FUNCTION bench.by_hand_seconds(wanted text) RETURNS numeric
LANGUAGE plpgsql
SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
    RETURN bench.seconds_of((SELECT statement FROM bench.by_hand WHERE name = wanted));
END $$;

-- Those states against the oracle's, in the members that they have.
CREATE FUNCTION bench.check_by_hand() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    different bigint;
BEGIN
    SELECT count(*) INTO different
    FROM bench.state AS s FULL JOIN bench.customers AS o USING (id)
    WHERE o.state ? 'status'
      AND s.state::text IS DISTINCT FROM (o.state - 'name' - 'recent')::text;
    IF different > 0 THEN
        RAISE EXCEPTION '% states written by hand differ from the fold over the events', different;
    END IF;
END $$;
