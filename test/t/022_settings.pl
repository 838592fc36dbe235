# Whatever a database or a server is set to, the states are the same.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('settings', 'readmodel.max_rebuild_workers = 1', 'readmodel.batch_size = 20',
    'readmodel.state_cache = 1024', 'readmodel.flush_interval = 50', 'readmodel.synchronous_commit = on');

# A default that a worker took over would keep it from seeing what was committed after its first snapshot, or from writing.
$node->safe_psql('postgres', q{
    CREATE DATABASE shop;
    ALTER DATABASE shop SET default_transaction_isolation = 'repeatable read';
    ALTER DATABASE shop SET default_transaction_read_only = on;
    ALTER DATABASE shop SET default_transaction_deferrable = on});

# Sessions of the test write.
$ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c default_transaction_isolation=read\ committed';
make_shop($node, 'shop');
append_orders($node, 'shop', 30);
define_orders($node, 'shop');
wait_ready($node, 'shop', 'a query becomes ready where transactions are read-only and see one snapshot');
foreach my $round (1 .. 3)
{
    append_orders($node, 'shop', 30);
    states_equal_oracle($node, 'shop', "and follows, round $round");
}
is($node->safe_psql('shop', q{SELECT setting FROM pg_db_role_setting s, unnest(setconfig) setting
    WHERE setting LIKE '%read_only=on'}), 'default_transaction_read_only=on', 'the defaults stand');

# --- more states than the smallest cache holds, in a rebuild and live
$node->safe_psql('shop', q{
    SELECT readmodel.drop_query('orders');
    CREATE FUNCTION public.bulky(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN public.order_placed(state, event) || jsonb_build_object('ballast', repeat(event ->> 'stream', 800));
    INSERT INTO public.events (stream_id, type, data)
    SELECT 'customer ' || (i * 7919 % 300), 'OrderPlaced', jsonb_build_object('amount', i) FROM generate_series(1, 1500) i;
    SELECT readmodel.define_query('orders', 'shop', 'public.bulky(jsonb, jsonb)', key => 'stream')});
wait_ready($node, 'shop', 'a query whose states do not fit into the cache becomes ready');
cmp_ok($node->safe_psql('shop', q{SELECT sum(octet_length(state::text)) FROM readmodel.orders}), '>', 2 * 1024 * 1024,
    'its states are larger than the cache');
my $bulky_equal = q{
    SELECT count(*), count(*) FILTER (WHERE state IS DISTINCT FROM expected)
    FROM readmodel.orders
    FULL JOIN (
        SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
            'positions', jsonb_agg(position ORDER BY position), 'ballast', repeat(stream_id, 800)) AS expected
        FROM public.events GROUP BY stream_id) oracle USING (id)};
is($node->safe_psql('shop', $bulky_equal), '300|0', 'and right');
$node->safe_psql('shop', q{
    INSERT INTO public.events (stream_id, type, data)
    SELECT 'customer ' || i % 300, 'OrderPlaced', jsonb_build_object('amount', i) FROM generate_series(1, 900) i});
$node->safe_psql('shop', q{SELECT readmodel.wait_for('orders', (SELECT max(position) FROM public.events), '20 s')});
is($node->safe_psql('shop', $bulky_equal), '300|0', 'also when it follows');
applied_once($node, 'shop', 'and each event was applied once');

# --- two rebuilds, two sources, one worker: the limit on their rate keeps the first going until the second has been seen
$node->safe_psql('shop', q{
    SELECT readmodel.drop_query('orders');
    TRUNCATE public.events;
    SELECT readmodel.create_event_table('public.others');
    SELECT readmodel.create_source('others', 'public.others')});
append_orders($node, 'shop', 600);
$node->safe_psql('shop', 'INSERT INTO public.others (stream_id, type, data) SELECT stream_id, type, data FROM public.events');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 50');
$node->reload;
my $orders = "'public.order_placed(jsonb, jsonb)', key => 'stream'";
$node->safe_psql('shop', "SELECT readmodel.define_query('orders', 'shop', $orders), readmodel.define_query('others', 'others', $orders)");
wait_until($node, 'shop', q{count(*) = 1 FROM readmodel.status() WHERE status = 'rebuilding' AND reason ~ '^queued: waits'
    AND (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild') = 1},
    'one rebuild runs, the other waits for its worker');
wait_until($node, 'shop', 'max(position) BETWEEN 1 AND 10000 FROM readmodel_catalog.checkpoint',
    'the limit slows the one that runs, but does not stop it');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 0');
$node->reload;
wait_until($node, 'shop', 'readmodel.ready()', 'both become ready');
equal_up_to($node, 'shop', 'orders', 10000, 'with the right states');
is($node->safe_psql('shop', q{
    SELECT count(*), count(*) FILTER (WHERE o.state - 'positions' IS DISTINCT FROM s.state - 'positions')
    FROM readmodel.others o FULL JOIN readmodel.orders s USING (id)}), '20|0', 'both of them');
applied_once($node, 'shop', 'each event was applied once');

$node->stop;
done_testing();
