# Where no worker can run, the status says so, and names the setting to change.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('stalled', 'max_logical_replication_workers = 0');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

sub set_and_restart
{
    my ($setting) = @_;
    $node->append_conf('postgresql.conf', $setting);
    $node->restart;
}

set_and_restart('max_worker_processes = 1');    # the launcher's
ok($node->poll_query_until('postgres',
    q{SELECT status = 'stalled' AND reason LIKE 'no_slot%' AND reason LIKE '%max_worker_processes%' FROM readmodel.status()}),
    'without a worker slot it is stalled, and the reason names max_worker_processes') or diag(reason($node, 'postgres'));

set_and_restart("max_worker_processes = 8\nshared_preload_libraries = ''");
like(reason($node, 'postgres'), qr/^stalled: not_preloaded.*shared_preload_libraries/,
    'without the library preloaded it is stalled, and the reason names shared_preload_libraries');

set_and_restart("shared_preload_libraries = 'pg_readmodel'");
wait_ready($node, 'postgres', 'ready again with workers');

$node->append_conf('postgresql.conf', 'readmodel.enabled = off');
$node->reload;
no_tail($node, 'postgres', 'readmodel.enabled = off ends the worker');
like(reason($node, 'postgres'), qr/^stalled: no_worker/, 'and the query is stalled');
append_orders($node, 'postgres', 10);
$node->append_conf('postgresql.conf', 'readmodel.enabled = on');
$node->reload;
wait_ready($node, 'postgres', 'readmodel.enabled = on brings it back');
states_equal_oracle($node, 'postgres', 'with what was appended meanwhile');

$node->append_conf('postgresql.conf', "readmodel.databases = 'elsewhere'");
$node->reload;
no_tail($node, 'postgres', 'a database that readmodel.databases does not list has no worker');
$node->append_conf('postgresql.conf', "readmodel.databases = 'elsewhere, postgres'");
$node->reload;
wait_ready($node, 'postgres', 'one that it lists has');

$node->stop;
done_testing();
