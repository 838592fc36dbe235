-- A read model is a view.
SELECT id, jsonb_pretty(state) AS state, position FROM readmodel.customers WHERE id = 'customer-7';
SELECT id, state ->> 'sold' AS sold, state ->> 'revenue' AS revenue, state ->> 'returns' AS returns
FROM readmodel.products ORDER BY (state ->> 'revenue')::numeric DESC LIMIT 5;
SELECT jsonb_pretty(readmodel.get('shop-overview', 'shop')) AS "shop-overview";
