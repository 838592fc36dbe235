# H3: a rebuild worker is killed before, within and after the transaction that writes, and at every other point of its work,
# after a part of the rebuild was stored. No event is lost, none counts twice, and the status is true on the way.
#
# Guards where a lane goes on (Lane::add). Seen to fail with a generation counted as fresh whatever its checkpoint.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

# A flush after every page.
my $node = fault_server('kill_rebuild', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100',
    'readmodel.flush_interval = 10');
append_orders($node, 'postgres', 500);

foreach my $point (qw(before_read before_lock before_snapshot after_snapshot before_flush before_checkpoint after_checkpoint
    before_commit after_commit before_publish before_hand_over))
{
    my $launcher = launcher_pid();
    rebuild_begun($point);
    truthful('orders', "before it is killed at $point");
    fault($point, 'kill', 'rebuild');
    release('before_read');
    wait_crash($launcher, "killed at $point: the server comes back");
    append_orders($node, 'postgres', 10);
    recovered("killed at $point");
    $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
}

$node->stop;
done_testing();
