-- A query with one instance an order, and how long after its event's commit each state was committed.
CREATE FUNCTION bench.define_orders(kind text) RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
    IF kind = 'function' THEN
        RETURN readmodel.define_query('orders', 'shop', 'shop.customer(jsonb, jsonb)', key => $key$data->>'order'$key$);
    END IF;
    RETURN readmodel.define_query('orders', 'shop', spec => '{
        "key": "$.order",
        "on": {"OrderPlaced": {"default": {"orders": 0, "total": 0, "recent": []}, "set": {"status": "OrderPlaced"},
                               "add": {"orders": 1, "total": "$.amount"}, "append": {"recent": "$.order"}, "keep": {"recent": 10}}}}');
END $$;

CREATE VIEW bench.order_oracle AS
SELECT data ->> 'order' AS id,
       jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::numeric), 'status', 'OrderPlaced',
                          'recent', jsonb_agg(data -> 'order')) AS state
FROM shop.events GROUP BY 1;

CREATE TABLE bench.latency (ms double precision);
CREATE PROCEDURE bench.note_latencies()
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO bench.latency
        SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(s.xmin) - pg_xact_commit_timestamp(e.xmin))
        FROM shop.events AS e JOIN %s AS s ON s.id = e.data ->> ''order''', readmodel.state_table('orders'));
END $$;

CREATE FUNCTION bench.latencies(OUT events bigint, OUT median numeric, OUT p99 numeric, OUT longest numeric)
LANGUAGE sql AS $$
    SELECT count(*), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 3),
           round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 3), round(max(ms)::numeric, 3) FROM bench.latency$$;

CREATE FUNCTION bench.percentiles(OUT percentile numeric, OUT ms numeric) RETURNS SETOF record
LANGUAGE sql AS $$
    SELECT p, round((SELECT percentile_cont(p / 100.0) WITHIN GROUP (ORDER BY l.ms) FROM bench.latency AS l)::numeric, 4)
    FROM unnest(ARRAY[1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97, 99, 99.5, 99.9]::numeric[]) AS p$$;
