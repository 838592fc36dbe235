# H3: catch_up ends with an error before, within and after the transaction that writes, and at every other point. The next call,
# also in the same session, goes on from there: no event is lost, none counts twice.
#
# Guards where a lane goes on (Lane::add). Seen to fail with a generation counted as fresh whatever its checkpoint.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('errors_catch_up', 'readmodel.enabled = off', 'readmodel.batch_size = 20');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');

# A transient error everywhere, another one around the write.
my @written = qw(before_checkpoint after_checkpoint before_commit after_commit);
foreach my $fault ((map { "40001 $_" } qw(before_takeover before_takeover_commit after_takeover_commit before_read before_lock
    before_snapshot after_snapshot before_flush), @written, 'before_publish'), map { "XX000 $_" } @written)
{
    my ($sqlstate, $point) = split / /, $fault;
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
    is($errors, "psql:<stdin>:2: ERROR:  $sqlstate", "$fault: the first call fails, the second does not");
    equal_up_to($node, 'postgres', 'orders', 1_000_000, "$fault: the states are right");
    applied_once($node, 'postgres', "$fault: each event was applied once");
    truthful('orders', $fault);
}

$node->stop;
done_testing();
