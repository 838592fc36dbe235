# What writers do with the event tables: one function for each kind of step. Each returns how its transaction ended.
package Torture::Writers;

use strict;
use warnings;
use Time::HiRes qw(sleep);
use Torture::Tables;

# Errors that a writer has to expect here: a unique slot or version that is taken, deadlocks between those who insert several
# slots, and events for a stream that is at another version.
my @expected = qw(23505 40P01 40001 RM010);

# A guarded table refuses what comes too late; that can be a number that the same transaction has drawn earlier. What a statement
# draws itself is never refused.
sub expected_of
{
    my ($step) = @_;
    my $guarded = grep { ($_ // '') eq 'guarded' } @$step{qw(table second)};
    return [ @expected, $guarded && $step->{op} =~ /^(explicit|early)$/ ? 'RM011' : () ];
}

sub pause_ms { my ($ms) = @_; sleep($ms / 1000) if $ms; return }

sub insert
{
    my ($dbh, $kind, $rows, %options) = @_;
    $dbh->do(Torture::Tables::insert_statement($dbh, $kind, $rows, %options));
    return;
}

sub in_transaction
{
    my ($dbh, $end, $work) = @_;
    $dbh->do('BEGIN');
    $work->();
    $dbh->do($end);
    return $end eq 'commit' ? 'committed' : 'rolled back';
}

# Numbers of the sequence, drawn by hand.
sub draw
{
    my ($dbh, $kind, $count) = @_;
    my $sequence = Torture::Tables::sequence_of($kind);
    return @{ $dbh->selectcol_arrayref("SELECT nextval($sequence) FROM generate_series(1, $count)") };
}

sub append
{
    my ($dbh, $step, $rows) = @_;
    my $events = '[' . join(', ', map { sprintf('{"type": "%s", "data": %s}', $_->{type}, Torture::Tables::data_of($_)) } @$rows) . ']';
    my $version = $dbh->selectrow_array('SELECT coalesce(max(version), 0) FROM torture.builtin WHERE stream_id = ?', undef, $step->{stream});
    my %expected = (any => undef, read => $version, new => 0);
    my $wanted = $step->{op} eq 'append_conflict' ? $version + 3 : $expected{ $step->{expect} };
    pause_ms($step->{wait});
    $dbh->selectall_arrayref('SELECT * FROM readmodel.append(?, ?, ?, ?)', undef, 'torture.builtin', $step->{stream}, $events, $wanted);
    return 'committed';
}

my %steps = (
    insert => sub { my ($dbh, $step, $rows) = @_; insert($dbh, $step->{table}, $rows); return 'committed' },
    multi => sub { my ($dbh, $step, $rows) = @_; insert($dbh, $step->{table}, $rows); return 'committed' },
    copy => sub { my ($dbh, $step, $rows) = @_; Torture::Tables::copy_rows($dbh, $step->{table}, $rows); return 'committed' },
    append => \&append,
    append_conflict => \&append,
    rollback => sub {
        my ($dbh, $step, $rows) = @_;
        return in_transaction($dbh, 'rollback', sub { insert($dbh, $step->{table}, $rows); pause_ms($step->{wait}) });
    },
    savepoint => sub {
        my ($dbh, $step, $rows) = @_;
        my ($first, @rest) = @$rows;
        return in_transaction($dbh, $step->{commit}, sub {
            insert($dbh, $step->{table}, [$first]);
            $dbh->do('SAVEPOINT s');
            insert($dbh, $step->{table}, $rows) if $step->{table} ne 'unique';    # the first slot is taken
            pause_ms($step->{wait});
            $dbh->do('ROLLBACK TO s');
            insert($dbh, $step->{table}, \@rest) if @rest;
        });
    },
    # Subtransactions of PL/pgSQL: each row's insert is undone or kept by itself.
    subtransactions => sub {
        my ($dbh, $step, $rows) = @_;
        return in_transaction($dbh, $step->{commit}, sub {
            foreach my $row (@$rows)
            {
                my $statement = Torture::Tables::insert_statement($dbh, $step->{table}, [$row]);
                my $raise = $row->{amount} % 2 ? q{RAISE division_by_zero;} : '';
                $dbh->do("DO \$do\$ BEGIN $statement; $raise EXCEPTION WHEN division_by_zero OR unique_violation THEN NULL; END \$do\$");
            }
            pause_ms($step->{wait});
        });
    },
    prepare => sub {
        my ($dbh, $step, $rows, $actor, $n) = @_;
        $dbh->do('BEGIN');
        insert($dbh, $step->{table}, $rows);
        $dbh->do("PREPARE TRANSACTION 'torture:$actor:$n:$step->{commit}:$step->{delay}'");
        return 'prepared';
    },
    # Positions that were drawn long ago in this transaction, in any order, some of them never used.
    early => sub {
        my ($dbh, $step, $rows) = @_;
        return in_transaction($dbh, $step->{commit}, sub {
            my @positions = draw($dbh, $step->{table}, $step->{draw});
            pause_ms($step->{wait});
            @positions = reverse @positions if $step->{order} eq 'backward';
            insert($dbh, $step->{table}, $rows, positions => [ @positions[ 0 .. $#$rows ] ]);
        });
    },
    # Positions given by hand, around the settled one, or drawn by an earlier transaction.
    explicit => sub {
        my ($dbh, $step, $rows) = @_;
        my ($settled, $head) = $dbh->selectrow_array(
            q{SELECT coalesce(settled_position, 0), coalesce(head_position, 0) FROM readmodel.source_status() WHERE name = 'guarded'});
        my $count = scalar @$rows;
        # Only what is free: another event's position would be refused by the index, whatever the guard thinks of it.
        my $free = sub {
            my ($range, $order, $offset) = @_;
            return @{ $dbh->selectcol_arrayref("SELECT p FROM generate_series($range) p
                WHERE NOT EXISTS (SELECT FROM torture.guarded WHERE position = p) ORDER BY p $order OFFSET $offset LIMIT $count") };
        };
        my @positions = $step->{from} eq 'drawn_before' ? draw($dbh, 'guarded', $count)
          : $step->{from} eq 'above' ? map { $head + $step->{by} + $_ } 1 .. $count
          : $step->{from} eq 'hole' ? $free->("$settled + 1, $settled + 200", 'ASC', $step->{by})
          : $free->("$settled - 300, $settled", 'DESC', $step->{from} eq 'at' ? 0 : $step->{by});
        return 'nothing is free' if @positions < $count;
        pause_ms($step->{wait}) if $step->{from} eq 'drawn_before';
        return in_transaction($dbh, $step->{commit}, sub {
            insert($dbh, 'guarded', $rows, positions => \@positions);
            pause_ms($step->{wait});
        });
    },
    replica => sub {
        my ($dbh, $step, $rows) = @_;
        return in_transaction($dbh, 'commit', sub {
            $dbh->do('SET LOCAL session_replication_role = replica');
            insert($dbh, $step->{table}, $rows);
        });
    },
    direct => sub {
        my ($dbh, $step, $rows) = @_;
        my $partition = $rows->[0]{region} eq 'r2' ? 'torture.parted_r2' : "torture.parted_$rows->[0]{region}";
        insert($dbh, 'parted', [ map { { %$_, region => $rows->[0]{region} } } @$rows ], into => $partition);
        return 'committed';
    },
    duplicate => sub { my ($dbh, $step, $rows) = @_; insert($dbh, 'unique', $rows); return 'committed' },
    on_conflict => sub {
        my ($dbh, $step, $rows) = @_;
        insert($dbh, 'unique', $rows, suffix => ' ON CONFLICT DO NOTHING');
        return 'committed';
    },
    two_tables => sub {
        my ($dbh, $step, $rows) = @_;
        return in_transaction($dbh, 'commit', sub {
            insert($dbh, $step->{table}, $rows);
            insert($dbh, $step->{second}, $rows);
        });
    },
    # Events that no query reads, and that every generation has passed.
    delete => sub {
        my ($dbh, $step) = @_;
        my $table = $Torture::Tables::kinds{ $step->{table} };
        my $deleted = $dbh->do(qq{DELETE FROM $table->{table} WHERE $table->{position} IN (
            SELECT position FROM oracle.$step->{table} WHERE type = 'Noise' AND position % 100 < $step->{share} AND position <= (
                SELECT min(c.position) FROM readmodel_catalog.checkpoint c JOIN readmodel_catalog.generation USING (generation_id)
                    JOIN readmodel_catalog.query USING (query_id) JOIN readmodel_catalog.source s USING (source_id)
                WHERE s.name = '$step->{table}' HAVING count(*) = count(c.position)))});
        return 'committed, deleted ' . (0 + $deleted);
    },
    long => sub {
        my ($dbh, $step, $rows) = @_;
        my ($first, @rest) = @$rows;
        return in_transaction($dbh, $step->{commit}, sub {
            draw($dbh, $step->{table}, $step->{draw}) if $step->{draw};
            insert($dbh, $step->{table}, [$first]);
            pause_ms($step->{wait} / 2);
            insert($dbh, $step->{table}, \@rest);
            pause_ms($step->{wait} / 2);
        });
    },
);

sub run
{
    my ($session, $plan, $actor, $n, $step) = @_;
    my @rows = $plan->rows($actor, $n, $step->{count} // 0);
    $session->step($n, $step->{op}, expected_of($step), sub { my ($dbh) = @_; return $steps{ $step->{op} }->($dbh, $step, \@rows, $actor, $n) });
    return;
}

# Prepared transactions say in their names what is to become of them, and when. Anybody may finish them.
sub finish_prepared
{
    my ($session, $all) = @_;
    my @due;
    return if $session->attempt(sub {
        my ($dbh) = @_;
        @due = @{ $dbh->selectcol_arrayref(q{SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'torture:%'}
            . ($all ? '' : q{ AND prepared + (split_part(gid, ':', 5) || ' ms')::interval <= clock_timestamp()})) };
    }) ne 'ok';
    foreach my $gid (@due)
    {
        my (undef, $actor, $n, $end) = split(/:/, $gid);
        $session->step("$actor/$n", "finish_$end", ['42704'], sub {
            my ($dbh) = @_;
            my $restarted = $dbh->selectrow_array(
                'SELECT prepared < pg_postmaster_start_time() FROM pg_prepared_xacts WHERE gid = ?', undef, $gid);
            $dbh->do(uc($end) . " PREPARED '$gid'");
            return $restarted ? 'after a restart' : '';
        });
    }
    return scalar @due;
}

1;
