# H3: the tail worker is killed before, within and after the transaction that writes, and at every other point of a step.
# No event is lost, none counts twice, and the status is true on the way.
#
# Guards the one transaction that holds states and checkpoint (Lane::flush_member, TailWorker::step_lane). Seen to fail with
# member.fold.write() called in a transaction of its own, after that of the checkpoint.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('kill_tail', 'readmodel.poll_interval = 100');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

foreach my $point (qw(before_read before_lock before_snapshot after_snapshot before_flush before_checkpoint after_checkpoint
    before_commit after_commit before_publish))
{
    my $launcher = launcher_pid();
    stop_at('before_read', 'tail');
    append_orders($node, 'postgres', 30);
    fault($point, 'kill', 'tail');
    release('before_read');
    wait_crash($launcher, "killed at $point: the server comes back");
    recovered("killed at $point");
}

# At the mark that a hole asks for, and at the test of one that pends.
foreach my $point (qw(within_mark before_mark_test))
{
    my $launcher = launcher_pid();
    $node->safe_psql('postgres', q{BEGIN; INSERT INTO public.events (stream_id, type, data)
        VALUES ('customer 1', 'OrderPlaced', '{"amount": 7}'); PREPARE TRANSACTION 'open'});
    fault($point, 'kill', 'tail');
    statement(q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 2', 'OrderPlaced', '{"amount": 8}')});
    wait_crash($launcher, "killed at $point: the server comes back");
    $node->safe_psql('postgres', q{COMMIT PREPARED 'open'});
    recovered("killed at $point");
}

# At the takeover of a new generation, which is built while the tail stands still.
foreach my $point (qw(before_takeover before_takeover_commit after_takeover_commit))
{
    my $launcher = launcher_pid();
    fault($point, 'kill', 'tail');
    statement(qq{SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)',
        key => 'stream', options => '{"version": "$point"}')});
    wait_crash($launcher, "killed at $point: the server comes back");
    recovered("killed at $point");
}

$node->stop;
done_testing();
