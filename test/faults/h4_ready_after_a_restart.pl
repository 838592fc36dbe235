# H4: after a restart a live query is ready only once a worker has applied what was committed meanwhile, and that is visible on a
# fresh connection; the row that says "live" is not enough.
#
# Guards member.reached in TailWorker::adopt. Seen to fail with a live generation counted as one that has reached its target.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('restart', 'readmodel.poll_interval = 100');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

foreach my $mode ('fast', 'immediate')
{
    my $what = "after a restart ($mode)";
    settings('readmodel.enabled = off');
    no_tail($node, 'postgres', "$what: the workers stop");
    append_orders($node, 'postgres', 30);
    truthful('orders', "$what: without workers");
    $node->stop($mode);
    $node->start;
    truthful('orders', "$what: still without workers");
    my @points = qw(before_read before_commit after_commit before_publish);
    fault($_, 'stop', 'tail') foreach @points;
    settings('readmodel.enabled = on');
    foreach my $point (@points)
    {
        wait_stopped($point, 'tail', "$what: the tail stands at $point");
        is($node->safe_psql('postgres', q{SELECT readmodel.readiness('orders')}), 'rebuilding',
            "$what: not ready at $point");
        truthful('orders', "$what: the tail at $point");
        release($point);
    }
    recovered($what);
}

$node->stop;
done_testing();
