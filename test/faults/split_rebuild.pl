# A rebuild that is split is killed where one of its lanes finishes: before, within and after the transaction that does it, and where
# the last of them makes the shares one checkpoint. No event is lost, none counts twice, and no share stays behind.
#
# Guards that a share is finished in the transaction that has moved it (RebuildWorker::flush), and that a lane that begins again finds
# what is left (RebuildWorker::load, TailWorker::assign_shares).
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

# Each lane flushes once, at its end.
my $node = fault_server('split_rebuild', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100', q{readmodel.flush_interval = '1h'},
    'readmodel.max_rebuild_workers = 2');
append_orders($node, 'postgres', 1000);

sub define_split
{
    $node->safe_psql('postgres', q{
        SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', options => '{"parallel": 2}')});
    return;
}

sub all_is_well
{
    my ($what) = @_;
    wait_until($node, 'postgres', q{readmodel.readiness('orders') = 'ready'}, "$what: it becomes ready");
    states_equal_oracle($node, 'postgres', "$what: with the right states");
    applied_once($node, 'postgres', "$what: each event was applied once");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM readmodel_catalog.share'), 0, "$what: no share is left");
    $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
    return;
}

foreach my $point (qw(before_checkpoint after_checkpoint before_commit after_commit before_publish before_hand_over))
{
    my $launcher = launcher_pid();
    fault($point, 'kill', 'rebuild');
    define_split();
    wait_crash($launcher, "killed at $point: the server comes back");
    append_orders($node, 'postgres', 10);
    all_is_well("a lane was killed at $point");
}

# The first stands before its commit, and the other waits for it; then that one is killed there.
my $launcher = launcher_pid();
fault('before_commit', 'stop', 'rebuild');
define_split();
wait_stopped('before_commit', 'rebuild', 'the first lane is about to finish');
fault('before_commit', 'kill', 'rebuild');
release('before_commit');
wait_crash($launcher, 'the last lane was killed: the server comes back');
all_is_well('the last lane was killed before its commit');

# It is dropped under a lane that is about to finish.
fault('before_flush', 'stop', 'rebuild', 0);
define_split();
wait_stopped('before_flush', 'rebuild', 'a lane has come to its end');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
disarm();
release('before_flush');
wait_until($node, 'postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild')},
    'the lanes of a query that was dropped end');
define_split();
all_is_well('after all that');

$node->stop;
done_testing();
