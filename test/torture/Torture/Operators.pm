# What is done to the queries: definitions come, change and go, and an operator interferes.
package Torture::Operators;

use strict;
use warnings;
use Time::HiRes qw(sleep);
use Torture::Queries;

# No such query; deadlocks with readers of the view who also look at the tables; the view or the table just went.
my @common = qw(RM006 40P01 40001);

my $tries = 4;

my %expected = (
    define => [@common],
    drop => [@common],
    # Dropped, replaced, or defined anew under it; a reader of the view in the way of the takeover.
    catch_up => [ @common, qw(55000 55P03 RM003) ],
    rebuild => [@common],
    # .. or its definition is gone with an updater that was replaced.
    activate => [ @common, qw(55000 55P03) ],
    cancel_rebuild => [@common],
    retry => [@common],
    pause => [@common],
    resume => [@common],
    # They wait for the writers and give up in time.
    add_partition => [qw(55P03 40P01)],
    rewrite => [qw(55P03 40P01)],
    vacuum => [qw(55P03 40P01)],
);

my %steps = (
    define => sub {
        my ($dbh, $step) = @_;
        return "$step->{query}: generation "
          . Torture::Queries::define($dbh, $step->{query}, $step->{table}, $step->{definition}, $step->{options});
    },
    drop => sub { my ($dbh, $step) = @_; $dbh->do('SELECT readmodel.drop_query(?)', undef, $step->{query}); return $step->{query} },
    catch_up => sub { my ($dbh, $step) = @_; $dbh->do('CALL readmodel.catch_up(?)', undef, $step->{query}); return $step->{query} },
    rebuild => sub {
        my ($dbh, $step) = @_;
        return "$step->{query}: generation " . $dbh->selectrow_array('SELECT readmodel.rebuild(?)', undef, $step->{query});
    },
    activate => sub {
        my ($dbh, $step) = @_;
        my ($generation) = $dbh->selectrow_array(q{
            SELECT generation FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
            WHERE name = $1 ORDER BY generation DESC LIMIT 1 OFFSET $2 % greatest((SELECT count(*) FROM readmodel_catalog.generation
                JOIN readmodel_catalog.query USING (query_id) WHERE name = $1), 1)}, undef, $step->{query}, $step->{pick});
        $dbh->do('SELECT readmodel.activate(?, ?)', undef, $step->{query}, $generation // 1);
        return "$step->{query}: generation " . ($generation // 1);
    },
    cancel_rebuild => sub { my ($dbh, $step) = @_; $dbh->do('SELECT readmodel.cancel_rebuild(?)', undef, $step->{query}); return $step->{query} },
    retry => sub { my ($dbh, $step) = @_; $dbh->do('SELECT readmodel.retry(?)', undef, $step->{query}); return $step->{query} },
    pause => sub { my ($dbh, $step) = @_; $dbh->do('SELECT readmodel.pause(?)', undef, $step->{query}); return $step->{query} },
    resume => sub { my ($dbh, $step) = @_; $dbh->do('SELECT readmodel.resume(?)', undef, $step->{query}); return $step->{query} },
    # A new partition, with events that go into it directly.
    add_partition => sub {
        my ($dbh, $step, $rows, $n) = @_;
        $dbh->do('BEGIN');
        $dbh->do(q{SET LOCAL lock_timeout = '200ms'});
        $dbh->do("CREATE TABLE torture.parted_x$n PARTITION OF torture.parted FOR VALUES IN ('x$n')");
        $dbh->do(Torture::Tables::insert_statement($dbh, 'parted', [ map { { %$_, region => "x$n" } } @$rows ], into => "torture.parted_x$n"));
        $dbh->do('COMMIT');
        return 'committed';
    },
    # New files for the table: whoever reads it with an older snapshot sees nothing.
    rewrite => sub {
        my ($dbh, $step) = @_;
        my $table = $Torture::Tables::kinds{ $step->{table} }{table};
        $dbh->do('BEGIN');
        $dbh->do(q{SET LOCAL lock_timeout = '200ms'});
        $dbh->do("ALTER TABLE $table ADD COLUMN filler double precision DEFAULT random()");
        $dbh->do("ALTER TABLE $table DROP COLUMN filler");
        sleep($step->{wait} / 1000);    # the workers come to wait for the lock
        $dbh->do('COMMIT');
        return $table;
    },
    vacuum => sub {
        my ($dbh, $step) = @_;
        my $table = $Torture::Tables::kinds{ $step->{table} }{table};
        $dbh->do(q{SET lock_timeout = '200ms'});
        $dbh->do("VACUUM (FULL, ANALYZE) $table");
        $dbh->do('RESET lock_timeout');
        return $table;
    },
);

sub run
{
    my ($session, $plan, $actor, $n, $step) = @_;
    my $op = $step->{op};
    my @rows = $op eq 'add_partition' ? $plan->rows($actor, $n, $step->{count}) : ();
    # Who loses against a reader of the view or with the connection asks again, as an operator would.
    for (my $try = 0; $try < $tries; $try++)
    {
        my $outcome = $session->step($n, $op, $expected{$op}, sub { my ($dbh) = @_; return $steps{$op}->($dbh, $step, \@rows, $n) });
        last if $outcome !~ /^(lost|40P01|40001)$/;
    }
    if ($op eq 'pause')
    {
        sleep($step->{wait} / 1000);
        $session->step($n, 'resume', $expected{resume}, sub { my ($dbh) = @_; return $steps{resume}->($dbh, $step) });
    }
    # A resident query that was dropped comes back at once, however that ended.
    if (my $then = $step->{then})
    {
        $session->step($n, 'define', $expected{define}, sub { my ($dbh) = @_; return $steps{define}->($dbh, { %$step, %$then }) });
    }
    return;
}

1;
