# H3: a session in catch_up is killed before, within and after the transaction that writes, and at every other point. The next
# call goes on from there: no event is lost, none counts twice.
#
# Guards where a lane goes on (Lane::add). Seen to fail with a generation counted as fresh whatever its checkpoint.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('kill_catch_up', 'readmodel.enabled = off', 'readmodel.batch_size = 20');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');

# Without workers the query is not ready, but its states can be compared.
sub caught_up
{
    my ($what) = @_;
    $node->safe_psql('postgres', q{CALL readmodel.catch_up('orders')});
    equal_up_to($node, 'postgres', 'orders', 1_000_000, "$what: the states are right");
    applied_once($node, 'postgres', "$what: each event was applied once");
    truthful('orders', $what);
}

# The takeover comes with the first call for a query, and then no more.
foreach my $point (qw(before_takeover before_takeover_commit after_takeover_commit before_read before_lock before_snapshot
    after_snapshot before_flush before_checkpoint after_checkpoint before_commit after_commit before_publish))
{
    if ($point =~ /takeover/)
    {
        $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
        define_orders($node, 'postgres');
    }
    append_orders($node, 'postgres', 50);
    my $launcher = launcher_pid();
    fault($point, 'kill', 'catch_up');
    statement(q{CALL readmodel.catch_up('orders')});
    wait_crash($launcher, "killed at $point: the server comes back");
    truthful('orders', "killed at $point");
    caught_up("killed at $point");
}

$node->stop;
done_testing();
