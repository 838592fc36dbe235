# Workers leave a database that a command needs empty, in time for it, and come back.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('commands');
$node->safe_psql('postgres', 'CREATE DATABASE shop');
make_shop($node, 'shop');
append_orders($node, 'shop', 100);
define_orders($node, 'shop');
wait_ready($node, 'shop', 'the query becomes ready');

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
pass('CREATE DATABASE .. TEMPLATE');
wait_tail($node, 'shop', 'the worker of the template comes back');
wait_tail($node, 'copy', 'the copy has a worker too');
append_orders($node, 'shop', 10);
states_equal_oracle($node, 'shop', 'the template goes on');

$node->safe_psql('postgres', 'ALTER DATABASE shop RENAME TO store');
pass('ALTER DATABASE .. RENAME');
wait_tail($node, 'store', 'the worker comes back under the new name');
append_orders($node, 'store', 10);
states_equal_oracle($node, 'store', 'the renamed database goes on');

$node->safe_psql('postgres', 'DROP DATABASE copy');
pass('DROP DATABASE');

# Also while a rebuild runs.
$node->safe_psql('postgres', q{ALTER SYSTEM SET readmodel.rebuild_rate_limit = 100});
$node->reload;
append_orders($node, 'store', 3000);
$node->safe_psql('store',
    q{SELECT readmodel.define_query('again', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream')});
ok($node->poll_query_until('postgres',
    q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild'}), 'a rebuild runs');
$node->safe_psql('postgres', 'DROP DATABASE store');
pass('DROP DATABASE during a rebuild');
is($node->safe_psql('postgres',
    q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_readmodel%' AND datname IS NOT NULL}),
    '0', 'no worker is left');

$node->stop;
done_testing();
