-- About 200,000 events with the built-in event table.
\ir ../../../bench/shop.sql
CALL shop.generate(customers => 2000, products => 500, orders => 50000);
ANALYZE shop.events;
SELECT readmodel.create_source('shop', 'shop.events');
SELECT count(*) AS events, pg_size_pretty(pg_table_size('shop.events')) AS size FROM shop.events;
