# Watchers: what is told during the run has to be true at that moment.
package Torture::Watch;

use strict;
use warnings;
use Time::HiRes qw(sleep time);
use Torture::Blame;
use Torture::Oracle;

# Dropped, or taken over (the view's key may be of another type then), since the snapshot; a drop of what this looks at; answers
# that were taken back meanwhile.
my @expected = qw(40001 40P01 42804 42P01 RM001 RM002 RM003 RM004 RM006);

# One generation, whatever its status: its states are those of exactly the events up to its position, under one snapshot.
sub compare
{
    my ($session, $plan, $actor, $n, $step) = @_;
    my $fault;
    $session->step($n, 'compare', \@expected, sub {
        my ($dbh) = @_;
        Torture::Oracle::begin_snapshot($dbh);
        my @all = Torture::Oracle::generations($dbh);
        my $one = @all ? $all[ $step->{which} % @all ] : undef;
        my $told = 'nothing is defined';
        if ($one)
        {
            my $relation = $step->{through} eq 'view' && $one->{serving} && $one->{view} ? $one->{view} : $one->{state_table};
            my $result = Torture::Oracle::compare($dbh, $one, $relation);
            if (@{ $result->{faults} })
            {
                $fault = 1;
                $session->{fault} = Torture::Blame::text($dbh, $one, $relation, $result, 'while the writers were at work');
                $session->note($n, 'compare', 'unexpected difference', join('; ', @{ $result->{faults} }));
                return 'different';
            }
            get_one($dbh, $one, $session, $n) if $one->{newest} && $one->{status} eq 'ready';
            $told = "$one->{status}: $one->{query}, generation $one->{generation} at " . ($one->{position} // 'nothing')
              . ", $result->{instances} instances of $result->{events} events"
              . ($result->{letters} ? ", $result->{letters} letters" : '') . ($result->{split} ? ', split' : '');
        }
        $dbh->do('COMMIT');
        return $told;
    });
    return $fault;
}

# A query that is ready answers, with what the view shows.
sub get_one
{
    my ($dbh, $one, $session, $n) = @_;
    my ($id, $state) = $dbh->selectrow_array("SELECT id::text, state::text FROM $one->{state_table} ORDER BY md5(id::text || ?) LIMIT 1", undef, $n);
    return if !defined $id;
    my $got = $dbh->selectrow_array('SELECT readmodel.get(?, ?)::text', undef, $one->{query}, $id);
    $session->note($n, 'get', defined $got && $got eq $state ? 'ok' : 'unexpected answer',
        "$one->{query}, instance $id: got " . ($got // 'nothing') . ", the state is $state");
    return;
}

# Positions never go back. After a crash the last commits may be gone, if they were asynchronous, and with them what was told.
sub positions
{
    my ($session, $durable, $until) = @_;
    my (%shown, %stored);
    my $n = 0;
    while (time < $until)
    {
        my $outcome = $session->step($n, 'positions', \@expected, sub {
            my ($dbh) = @_;
            my @all = Torture::Oracle::generations($dbh);
            foreach my $one (@all)
            {
                my $failure = $one->{failure} // '';
                $one->{told} = { split => $one->{shares} > 1, gated => $one->{status} eq 'gated',
                    failed => $failure eq 'updater_error', frozen => $failure eq 'definition_changed' };
                foreach my $seen ([ 'status', \%shown, $one->{position} ], [ 'checkpoint', \%stored, $one->{stored} ])
                {
                    my ($what, $last, $now) = @$seen;
                    my $before = $last->{ $one->{generation_id} };
                    $session->note($n, "position of $what", 'unexpected step back',
                        "$one->{query}, generation $one->{generation} ($one->{status}), from $before to " . ($now // 'nothing'))
                      if defined $before && (!defined $now || $now < $before);
                    $last->{ $one->{generation_id} } = $now;
                }
            }
            return scalar(@all) . ' generations, ' . join(', ', map { my $what = $_; "$what " . grep { $_->{told}{$what} } @all } qw(split gated failed frozen));
        });
        if ($outcome eq 'lost')
        {
            %shown = ();
            %stored = () if !$durable;
        }
        $n++;
        sleep 0.03;
    }
    return;
}

# Figures for the end of the run.
sub sample
{
    my ($session, $start, $until) = @_;
    my $n = 0;
    while (time < $until)
    {
        $session->step($n, 'sample', [@expected], sub {
            my ($dbh) = @_;
            my $lag = $dbh->selectrow_array(q{SELECT string_agg(lag::text, ' ') FROM readmodel.status() WHERE status = 'ready' AND name NOT LIKE 'guest%'});
            my @counts = $dbh->selectrow_array('SELECT sum(batches), sum(lock_lookups), sum(events_read) FROM readmodel.source_status()');
            return join(';', $lag // '', map { $_ // 0 } @counts);
        });
        $n++;
        sleep 0.2;
    }
    return;
}

1;
