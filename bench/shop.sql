-- A small shop: its event table, a generator of events, and the updater that the benchmark folds with.
-- The demo uses it too, with queries of its own.
CREATE SCHEMA shop;

SELECT readmodel.create_event_table('shop.events');

-- Every customer registers within the first tenth of the log. Every order is placed, paid, shipped and then delivered or
-- returned, with other customers' events in between. Four events an order, one a customer, about 230 bytes each. A return
-- carries its refund, a number below zero.
CREATE PROCEDURE shop.generate(customers int, products int, orders int)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(0.5);
    INSERT INTO shop.events (stream_id, version, type, data)
    SELECT stream_id, version, type, data
    FROM (
        SELECT 'customer-' || c AS stream_id, 1 AS version, 'CustomerRegistered' AS type,
               jsonb_build_object('customer', 'customer-' || c, 'name', 'Customer ' || c,
                                  'email', 'customer' || c || '@shop.example', 'country', 'NL') AS data,
               c * (orders * 0.1 / customers) AS moment
        FROM generate_series(1, customers) AS c
        UNION ALL
        SELECT 'order-' || o.number, step, kind.type,
               jsonb_build_object('order', 'order-' || o.number, 'customer', 'customer-' || o.customer,
                                  'product', 'product-' || o.product, 'quantity', o.quantity,
                                  'amount', amount)
                   || CASE kind.type WHEN 'OrderReturned' THEN jsonb_build_object('refund', -amount) ELSE '{}' END,
               o.number + 0.1 * orders * o.delay * (step - 1) / 10
        FROM (
            -- The oldest tenth of the orders comes from customers that are registered by then.
            SELECT number, 1 + floor(random() * greatest(1, customers * least(1, 10.0 * number / orders) - 1))::int AS customer,
                   1 + floor(random() * products)::int AS product, 1 + floor(random() * 4)::int AS quantity,
                   random() AS delay, random() < 0.05 AS returned
            FROM generate_series(1, orders) AS number) AS o,
            LATERAL (SELECT round(o.quantity * (1 + o.product * 37 % 5000) / 100.0, 2) AS amount) AS price,
            generate_series(1, 4) AS step,
            LATERAL (SELECT CASE step WHEN 1 THEN 'OrderPlaced' WHEN 2 THEN 'OrderPaid' WHEN 3 THEN 'OrderShipped'
                                      ELSE CASE WHEN o.returned THEN 'OrderReturned' ELSE 'OrderDelivered' END END AS type) AS kind
    ) AS event
    ORDER BY moment, stream_id, version;
END $$;

-- One document per customer: name, number of orders, exact total, last status, the last ten orders.
CREATE FUNCTION shop.customer(state jsonb, event jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    data jsonb := event -> 'data';
    recent jsonb;
BEGIN
    CASE event ->> 'type'
        WHEN 'CustomerRegistered' THEN
            RETURN coalesce(state, '{"orders": 0, "total": 0, "recent": []}') || jsonb_build_object('name', data -> 'name');
        WHEN 'OrderPlaced' THEN
            state := coalesce(state, '{"orders": 0, "total": 0, "recent": []}');
            recent := state -> 'recent';
            IF jsonb_array_length(recent) >= 10 THEN
                recent := recent - 0;
            END IF;
            RETURN state || jsonb_build_object(
                'orders', (state ->> 'orders')::int + 1,
                'total', (state ->> 'total')::numeric + (data ->> 'amount')::numeric,
                'status', 'OrderPlaced',
                'recent', recent || (data -> 'order'));
        WHEN 'OrderReturned' THEN
            RETURN state || jsonb_build_object(
                'total', (state ->> 'total')::numeric - (data ->> 'amount')::numeric,
                'status', 'OrderReturned');
        ELSE
            RETURN state || jsonb_build_object('status', event -> 'type');
    END CASE;
END $$;

-- The oracle: the same states computed from all events by plain SQL, which shares nothing with the updater.
CREATE VIEW shop.customer_oracle AS
WITH event AS (
    SELECT position, type, data ->> 'customer' AS id, data, (data ->> 'amount')::numeric AS amount FROM shop.events),
placed AS (
    SELECT id, position, data ->> 'order' AS number, row_number() OVER (PARTITION BY id ORDER BY position DESC) AS age
    FROM event WHERE type = 'OrderPlaced'),
recent AS (SELECT id, jsonb_agg(number ORDER BY position) AS recent FROM placed WHERE age <= 10 GROUP BY id),
last_order AS (
    SELECT DISTINCT ON (id) id, type FROM event WHERE type <> 'CustomerRegistered' ORDER BY id, position DESC),
total AS (
    SELECT id, count(*) FILTER (WHERE type = 'OrderPlaced') AS orders,
           coalesce(sum(amount) FILTER (WHERE type = 'OrderPlaced'), 0)
               - coalesce(sum(amount) FILTER (WHERE type = 'OrderReturned'), 0) AS total,
           min(data ->> 'name') FILTER (WHERE type = 'CustomerRegistered') AS name
    FROM event GROUP BY id)
SELECT id, jsonb_build_object('orders', orders, 'total', total, 'recent', coalesce(recent, '[]'))
           || CASE WHEN name IS NULL THEN '{}' ELSE jsonb_build_object('name', name) END
           || CASE WHEN type IS NULL THEN '{}' ELSE jsonb_build_object('status', type) END AS state
FROM total LEFT JOIN recent USING (id) LEFT JOIN last_order USING (id);
