# H8: SIGTERM at any point of a rebuild ends the worker, and an immediate shutdown the server; the rebuild resumes from what was
# stored, and no event counts twice.
#
# Guards where a lane goes on (Lane::add). Seen to fail with a generation counted as fresh whatever its checkpoint.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('stop_rebuild', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100',
    'readmodel.flush_interval = 10');
append_orders($node, 'postgres', 500);

my $stored = q{SELECT coalesce(max(position), 0) FROM readmodel_catalog.checkpoint};

# Leaves the rebuild at the point, after a part of it was stored.
sub stop_rebuild_at
{
    my ($point, $what) = @_;
    rebuild_begun($what);
    fault($point, 'stop', 'rebuild');
    release('before_read');
    wait_stopped($point, 'rebuild', "$what: the rebuild stands at $point");
    truthful('orders', $what);
}

sub resumes
{
    my ($what, $before) = @_;
    cmp_ok($node->safe_psql('postgres', $stored), '>=', $before, "$what: what was stored stays");
    recovered($what);
    $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
}

foreach my $point (qw(before_read before_lock before_snapshot after_snapshot before_flush before_checkpoint after_checkpoint
    before_commit after_commit before_publish before_hand_over))
{
    my $what = "SIGTERM at $point";
    stop_rebuild_at($point, $what);
    my $before = $node->safe_psql('postgres', $stored);
    my $worker = stopped_pid($point, 'rebuild');
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
    wait_until($node, 'postgres', "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)", "$what: the worker ends");
    resumes($what, $before);
}

foreach my $point (qw(before_read after_checkpoint before_commit after_commit before_hand_over))
{
    my $what = "immediate shutdown at $point";
    stop_rebuild_at($point, $what);
    my $before = $node->safe_psql('postgres', $stored);
    $node->stop('immediate');
    $node->start;
    resumes($what, $before);
}

$node->stop;
done_testing();
