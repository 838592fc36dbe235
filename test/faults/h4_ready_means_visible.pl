# H4: no read sees "ready", or a position, before the last write behind it is visible on a fresh connection. The worker stands
# between a write and its commit, between the commit and the announcement, and around the takeover; readiness, status, get and
# wait_for are asked on fresh connections.
#
# Guards the order of commit and publish() in TailWorker::take_over, and "not live" in query/readiness_rule.hpp, of which either
# suffices. Seen to fail with publish() called before the commit of the takeover and "reached" taken for "live".
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('visible', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100',
    'readmodel.flush_interval = 10');

my $last = q{SELECT max(position) FROM public.events};

# What wait_for() returns can be read; get() answers what the states say, or refuses.
sub reads_agree
{
    my ($what) = @_;
    truthful('orders', $what);
    my $head = $node->safe_psql('postgres', $last);
    my ($status, $reached, $errors) = $node->psql('postgres', "SELECT readmodel.wait_for('orders', $head, '50 ms')");
    if ($status == 0)
    {
        equal_up_to($node, 'postgres', 'orders', $reached, "$what: what wait_for has seen can be read");
    }
    else
    {
        like($errors, qr/did not reach position $head in time/, "$what: wait_for waits");
    }
    my $states = newest_states('orders');
    my ($got, $same, $refused) = $node->psql('postgres', qq{
        SELECT readmodel.get('orders', 'customer 1') IS NOT DISTINCT FROM (SELECT state FROM $states WHERE id = 'customer 1')
          AND readmodel.readiness('orders') = 'ready'});
    ok($got == 0 ? $same eq 't' : $refused =~ /query "orders" is (rebuilding|stalled)/, "$what: get() agrees")
      or diag("$same $refused");
}

sub not_ready
{
    my ($what) = @_;
    is($node->safe_psql('postgres', q{SELECT readmodel.readiness('orders')}), 'rebuilding', "$what: not ready");
    reads_agree($what);
}

# Each of the points in turn, with a look around.
sub at_each_point
{
    my ($who, $what, $look, @points) = @_;
    foreach my $point (@points)
    {
        wait_stopped($point, $who, "$what: the $who stands at $point");
        $look->("$what, $who at $point");
        release($point);
    }
}

my @commit = qw(before_commit after_commit before_publish);
my @takeover = qw(before_takeover before_takeover_commit);

# A rebuild and its handover, the catch-up with what came meanwhile, the takeover: not ready before that is committed. Then the
# same for a changed definition, whose takeover changes the view.
foreach my $version (1, 2)
{
    my $what = "generation $version";
    append_orders($node, 'postgres', 500);
    if ($version == 1)
    {
        rebuild_begun($what);
    }
    else
    {
        fault('before_read', 'stop', 'rebuild');
        $node->safe_psql('postgres', q{SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)',
            key => 'stream', options => '{"version": "2"}')});
        wait_stopped('before_read', 'rebuild', "$what: a rebuild begins");
    }
    fault($_, 'stop', 'rebuild') foreach @commit, 'before_hand_over';
    release('before_read');
    at_each_point('rebuild', $what, \&not_ready, @commit);
    wait_stopped('before_hand_over', 'rebuild', "$what: the rebuild is done");
    not_ready("$what, before the handover");
    # An older generation that is tailed would come by as well.
    my @tail = $version == 1 ? (@commit, @takeover) : @takeover;
    fault($_, 'stop', 'tail') foreach @tail, 'after_takeover_commit';
    append_orders($node, 'postgres', 30);
    release('before_hand_over');
    at_each_point('tail', $what, \&not_ready, @tail);
    at_each_point('tail', $what, \&reads_agree, 'after_takeover_commit');
    recovered($what);
}

# A query that is ready stays so, and answers what is committed.
foreach my $round (1, 2)
{
    stop_at('before_read', 'tail');
    append_orders($node, 'postgres', 30);
    fault($_, 'stop', 'tail') foreach @commit;
    release('before_read');
    at_each_point('tail', 'a ready query', \&reads_agree, @commit);
    recovered('a ready query');
}

$node->stop;
done_testing();
