-- What the states must be, computed from the events by plain SQL. customer_oracle is in bench/shop.sql.
CREATE VIEW shop.product_oracle AS
SELECT data ->> 'product' AS id,
       jsonb_build_object('sold', sum(CASE type WHEN 'OrderPlaced' THEN 1 ELSE -1 END * (data ->> 'quantity')::int),
                          'revenue', sum(CASE type WHEN 'OrderPlaced' THEN 1 ELSE -1 END * (data ->> 'amount')::numeric),
                          'returns', count(*) FILTER (WHERE type = 'OrderReturned')) AS state
FROM shop.events
WHERE type IN ('OrderPlaced', 'OrderReturned')
GROUP BY 1;

CREATE VIEW shop.overview_oracle AS
SELECT 'shop' AS id, jsonb_object_agg(type, count) AS state
FROM (SELECT type, count(*) FROM shop.events GROUP BY type) AS types;

CREATE VIEW public.oracle AS
SELECT 'customers' AS query, id, state FROM shop.customer_oracle
UNION ALL SELECT 'products', id, state FROM shop.product_oracle
UNION ALL SELECT 'shop-overview', id, state FROM shop.overview_oracle;

CREATE VIEW public.states AS
SELECT 'customers' AS query, id, state FROM readmodel.customers
UNION ALL SELECT 'products', id, state FROM readmodel.products
UNION ALL SELECT 'shop-overview', id, state FROM readmodel."shop-overview";
