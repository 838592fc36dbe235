# H3: catch_up ends with an error before, within and after the transaction that writes, and at every other point. The next call,
# also in the same session, goes on from there: no event is lost, none counts twice.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('errors_catch_up', 'readmodel.enabled = off', 'readmodel.batch_size = 20');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');

foreach my $sqlstate (qw(40001 XX000))
{
    foreach my $point (qw(before_takeover before_takeover_commit after_takeover_commit before_read before_lock before_snapshot
        after_snapshot before_flush before_checkpoint after_checkpoint before_commit after_commit before_publish))
    {
        if ($point =~ /takeover/)
        {
            $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
            define_orders($node, 'postgres');
        }
        append_orders($node, 'postgres', 50);
        fault($point, 'error', 'catch_up', 1, $sqlstate);
        my ($status, $output, $errors) = $node->psql('postgres', qq{\\set VERBOSITY sqlstate
            CALL readmodel.catch_up('orders');
            CALL readmodel.catch_up('orders')}, on_error_stop => 0);
        is($errors, "psql:<stdin>:2: ERROR:  $sqlstate", "$sqlstate at $point: the first call fails, the second does not");
        equal_up_to($node, 'postgres', 'orders', 1_000_000, "$sqlstate at $point: the states are right");
        applied_once($node, 'postgres', "$sqlstate at $point: each event was applied once");
        truthful('orders', "$sqlstate at $point");
    }
}

$node->stop;
done_testing();
