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
    # .. or it has failed, fails here, or waits for approval.
    catch_up => [ @common, qw(55000 55P03 RM003 38000 RM002) ],
    rebuild => [ @common, '55000' ],    # it waits for approval
    replace_body => [@common],
    # Its function was replaced, its rebuild is split; tables that were rewritten.
    verify => [ @common, '55000' ],
    rebuild_instance => [ @common, qw(55000 22P02) ],    # keys have become of another type since
    retry_letters => [ @common, '55000' ],
    retry_letter => [ @common, '55000' ],
    discard_letter => [@common],
    refold => [ @common, qw(55000 22P02) ],
    build_here => [ @common, qw(55000 55P03 RM003) ],
    correct => [ @common, '55000' ],
    mend => [@common],
    approve => [@common],
    reject => [@common],
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

# A row of what a SELECT finds; which one the step says.
sub chosen
{
    my ($dbh, $step, $select, @arguments) = @_;
    my $rows = $dbh->selectall_arrayref($select, undef, @arguments);
    return @$rows ? @{ $rows->[ $step->{pick} % @$rows ] } : ();
}

# One of the query's dead letters.
sub letter { my ($dbh, $step) = @_; return chosen($dbh, $step, 'SELECT position FROM readmodel.dead_letters(?) ORDER BY 1', $step->{query}) }

# Takes away what a query has failed at and lets it go on, or gives it a function that can take it, which it follows by itself. An event
# that every function refuses is in no state, so it may go.
sub mend
{
    my ($dbh, $query, $code) = @_;
    my ($template, $kind) = split(/ /, $query);
    my $at = $dbh->selectrow_array('SELECT error_position FROM readmodel.status() WHERE name = ?', undef, $query);
    my $table = $Torture::Tables::kinds{$kind};
    my $amount = $dbh->selectrow_array("SELECT (data ->> 'amount')::bigint FROM oracle.$kind WHERE position = ? AND type = 'Trap'",
        undef, $at);
    my $how = !defined $amount ? 'nothing there' : ($amount + 50) % 2 ? 'deleted' : 'replaced';
    $dbh->do('BEGIN');
    $dbh->do("DELETE FROM $table->{table} WHERE $table->{position} = ?", undef, $at) if $how eq 'deleted';
    if ($how eq 'replaced')
    {
        Torture::Queries::lock_functions($dbh);
        Torture::Queries::write_body($dbh, $kind, { template => $template, key => 'A', code => $code });
    }
    $dbh->do('SELECT readmodel.retry(?)', undef, $query) if $how ne 'replaced';
    $dbh->do('COMMIT');
    return "$how: $query at " . ($at // 'nothing');
}

sub with_query
{
    my ($select) = @_;
    return sub { my ($dbh, $step) = @_; $dbh->do("SELECT $select", undef, $step->{query}); return $step->{query} };
}

sub decide
{
    my ($function) = @_;
    return sub {
        my ($dbh, $step) = @_;
        my ($query) = chosen($dbh, $step, q{SELECT name FROM readmodel.status() WHERE status = 'gated' ORDER BY name});
        return 'nobody waits' if !defined $query;
        $dbh->do("SELECT readmodel.$function(?)", undef, $query);
        return "done: $query";
    };
}

sub rebuild_instance
{
    my ($dbh, $step) = @_;
    my $table = $dbh->selectrow_array('SELECT readmodel.state_table(?)', undef, $step->{query});
    my ($id) = chosen($dbh, $step, "SELECT id::text FROM $table ORDER BY id");
    return "$step->{query}: no instances" if !defined $id;
    $dbh->do('SELECT readmodel.rebuild_instance(?, ?)', undef, $step->{query}, $id);
    return "done: $step->{query}, $id";
}

my %steps = (
    replace_body => sub {
        my ($dbh, $step) = @_;
        Torture::Queries::replace_body($dbh, $step->{table}, $step->{definition});
        return "$step->{query}: $step->{definition}{code}";
    },
    verify => sub {
        my ($dbh, $step) = @_;
        my $different = $dbh->selectall_arrayref('SELECT id, stored_position, folded_position, stored, folded FROM readmodel.verify(?, ?)',
            undef, $step->{query}, $step->{sample});
        return "$step->{query}: no difference" if !@$different;
        return "DIFFERENT: $step->{query}, " . join('; ', map { join(', ', map { $_ // 'nothing' } @$_) } @$different);
    },
    rebuild_instance => \&rebuild_instance,
    refold => \&rebuild_instance,    # where there are letters
    # All of them are still refused, unless they have been corrected.
    retry_letters => sub {
        my ($dbh, $step) = @_;
        my $before = () = $dbh->selectall_arrayref('SELECT FROM readmodel.dead_letters(?)', undef, $step->{query})->@*;
        my $applied = $dbh->selectrow_array('SELECT readmodel.retry_dead_letters(?)', undef, $step->{query});
        return "$step->{query}: applied $applied of $before";
    },
    retry_letter => sub {
        my ($dbh, $step) = @_;
        my ($position) = letter($dbh, $step) or return "$step->{query}: no letters";
        my $applied = $dbh->selectrow_array('SELECT readmodel.retry_dead_letters(?, ?)', undef, $step->{query}, $position);
        return "$step->{query}: applied $applied of 1, $position";
    },
    discard_letter => sub {
        my ($dbh, $step) = @_;
        my ($position) = letter($dbh, $step) or return "$step->{query}: no letters";
        $dbh->do('SELECT readmodel.discard_dead_letter(?, ?)', undef, $step->{query}, $position);
        return "done: $step->{query}, $position";
    },
    # Events are corrected so that everybody can take them, and tried again. The lanes of a rebuild that is split could take the one
    # half of one before and the other after that, so none may be, or begin; the lock that the first call takes keeps new ones away.
    correct => sub {
        my ($dbh, $step) = @_;
        my ($position) = letter($dbh, $step) or return "$step->{query}: no letters";
        $dbh->do('BEGIN');
        $dbh->do('SELECT readmodel.retry_dead_letters(?, -1)', undef, $step->{query});
        my $beginning = $dbh->selectrow_array(q{SELECT count(*) FROM readmodel_catalog.checkpoint
            JOIN readmodel_catalog.generation USING (generation_id) JOIN readmodel_catalog.query USING (query_id)
            WHERE name = ? AND position IS NULL}, undef, $step->{query});
        if ($beginning)
        {
            $dbh->do('ROLLBACK');
            return "$step->{query}: it is being built";
        }
        my $some = $dbh->selectcol_arrayref('SELECT DISTINCT position FROM readmodel.dead_letters(?) WHERE position >= ? ORDER BY 1 LIMIT ?',
            undef, $step->{query}, $position, $step->{count});
        $dbh->do(Torture::Tables::correction($step->{table}), undef, $some);
        my $applied = $dbh->selectrow_array('SELECT readmodel.retry_dead_letters(?)', undef, $step->{query});
        $dbh->do('COMMIT');
        return "$step->{query}: applied $applied, @$some";
    },
    # A rebuild that a session takes part in.
    build_here => sub {
        my ($dbh, $step) = @_;
        my $generation = $dbh->selectrow_array('SELECT readmodel.rebuild(?)', undef, $step->{query});
        $dbh->do('CALL readmodel.catch_up(?)', undef, $step->{query});
        return "$step->{query}: generation $generation";
    },
    mend => sub {
        my ($dbh, $step) = @_;
        my ($query) = chosen($dbh, $step,
            q{SELECT name FROM readmodel.status() WHERE status = 'failed' AND reason LIKE 'updater_error%' ORDER BY name});
        return defined $query ? mend($dbh, $query, $step->{code}) : 'nobody has failed';
    },
    approve => decide('approve'),
    reject => decide('reject'),
    define => sub {
        my ($dbh, $step) = @_;
        return "$step->{query}: generation "
          . Torture::Queries::define($dbh, $step->{query}, $step->{table}, $step->{definition}, $step->{options});
    },
    drop => with_query('readmodel.drop_query(?)'),
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
    cancel_rebuild => with_query('readmodel.cancel_rebuild(?)'),
    retry => with_query('readmodel.retry(?)'),
    pause => with_query('readmodel.pause(?)'),
    resume => with_query('readmodel.resume(?)'),
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
    if ($op eq 'verify' && $session->{detail} =~ /^DIFFERENT/)
    {
        $session->{fault} = "verify() disagrees: $session->{detail}\n";
        $session->note($n, $op, 'unexpected difference', $session->{detail});
        return 1;
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
    return 0;
}

1;
