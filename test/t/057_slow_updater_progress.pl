# A page of events whose updater is slow is left every second: what is done is stored and shown, in a rebuild and in the tail, and other
# queries have their turn.
#
# Guards the slice in should_leave_page, seen to fail without it: nothing moves before the page is done, and the others wait; and the
# rate, seen to fail where all of a page counts each time.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use ReadModelCluster;

# All events are less than a page, and nothing else comes to end a wait.
my $node = new_server('slow', 'readmodel.poll_interval = 60s', 'max_worker_processes = 12');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.slow(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.05); RETURN public.order_placed(state, event); END $$});

# The different lags that a query had until it was ready, and what else was ever seen.
sub watch
{
    my (@lags, %seen);
    my $give_up = time + 120;
    while (time < $give_up)
    {
        my ($status, $lag, $too_fast) = split /\|/, $node->safe_psql('postgres',
            q{SELECT status, lag, coalesce(events_per_second > 30, false) FROM readmodel.status() WHERE name = 'slow'});
        $seen{too_fast}++ if $too_fast eq 't';
        push @lags, $lag if $lag ne '' && $lag > 0 && (!@lags || $lags[-1] != $lag);
        return (\@lags, \%seen) if $status eq 'ready' && $lag eq '0';
        usleep(100_000);
    }
    return (\@lags, \%seen);
}

sub falls
{
    my ($lags, $what) = @_;
    cmp_ok(scalar @$lags, '>=', 3, "$what: the lag falls on its way") or diag("@$lags");
    is("@$lags", join(' ', sort { $b <=> $a } @$lags), "$what: and never rises");
}

# --- a rebuild: 100 events at 50 ms are 5 s
$node->safe_psql('postgres', q{SELECT readmodel.define_query('slow', 'shop', 'public.slow(jsonb, jsonb)', key => 'stream')});
my ($lags, $seen) = watch();
falls($lags, 'a rebuild');
ok(!$seen->{too_fast}, 'an event that is read twice counts once in the rate');
is($node->safe_psql('postgres', q{SELECT events_applied FROM readmodel_catalog.checkpoint}), 100, 'each is applied once');

# --- the tail
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'another query of the same tail is ready');
append_orders($node, 'postgres', 100);
my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
my $before = $node->safe_psql('postgres', qq{SELECT readmodel.wait_for('orders', $head, '60 s');
    SELECT lag FROM readmodel.status() WHERE name = 'slow'});
my ($reached, $lag) = split /\n/, $before;
is($reached, $head, 'the other query has applied all');
cmp_ok($lag, '>', 0, '.. while the slow one is still at it');
($lags) = watch();
falls($lags, 'in the tail');
wait_ready($node, 'postgres', 'both are ready');
states_equal_oracle($node, 'postgres', 'the other one has every event once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (TABLE readmodel.orders) o FULL JOIN (TABLE readmodel.slow) s USING (id)
    WHERE o.state IS DISTINCT FROM s.state}), 0, 'and the slow one the same');

$node->stop;
done_testing();
