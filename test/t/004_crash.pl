# A worker that is killed, at any time, costs no event and counts none twice.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('crash', 'readmodel.flush_interval = 50', 'readmodel.batch_size = 100');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 500);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

# The server restarts itself: it is back when a launcher runs that is not the old one.
sub kill_worker
{
    my ($kind) = @_;
    my $launcher = worker_pid($node, 'launcher');
    my $victim = worker_pid($node, $kind);
    is(kill('KILL', $victim), 1, "the $kind worker is killed");
    ok($node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel launcher' AND pid <> $launcher"),
        'the server comes back');
}

foreach my $kind ('tail', 'launcher')
{
    append_orders($node, 'postgres', 200);
    kill_worker($kind);
    wait_ready($node, 'postgres', "ready again after the end of the $kind worker");
    append_orders($node, 'postgres', 50);
    states_equal_oracle($node, 'postgres', 'the states are right');
    applied_once($node, 'postgres', 'each event was applied once');
}

# In mid-rebuild, after a part of it has been stored.
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
# Commits are synchronous here, so that what was stored is known to survive; above, a crash may take back the last ones.
$node->append_conf('postgresql.conf', "readmodel.synchronous_commit = on\nreadmodel.rebuild_rate_limit = 500");
$node->reload;
append_orders($node, 'postgres', 2000);
define_orders($node, 'postgres');
my $stored = q{SELECT coalesce(max(position), 0) FROM readmodel_catalog.checkpoint};
ok($node->poll_query_until('postgres', "SELECT ($stored) > 0"), 'a part of the rebuild is stored');
kill_worker('rebuild');
cmp_ok($node->safe_psql('postgres', $stored), '>', 0, 'what was stored has survived');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 0');
$node->reload;
wait_ready($node, 'postgres', 'ready after the end of the rebuild worker');
states_equal_oracle($node, 'postgres', 'the states are right');
applied_once($node, 'postgres', 'each event was applied once');

append_orders($node, 'postgres', 200);
$node->stop('immediate');
$node->start;
wait_ready($node, 'postgres', 'ready again after an immediate shutdown');
states_equal_oracle($node, 'postgres', 'the states are right');
applied_once($node, 'postgres', 'each event was applied once');

$node->stop;
done_testing();
