# One log of events, some specs, and a way in which the extension comes to the end of the log; then every instance of every query is
# compared, byte for byte, with what the interpreter makes of the same log.
package Differential::Round;

use strict;
use warnings;
use utf8;
use Differential::Generator;
use Differential::Random;
use Time::HiRes qw(sleep time);

my $limit = 120;    # s, for whatever is waited for

# `server`: a Differential::Server. `rows`, `specs`: instead of random ones.
sub new
{
    my ($class, %given) = @_;
    my $self = bless { queries => [], %given }, $class;
    srand($self->{seed});
    $self->{mapped} = chance(0.8) ? 1 : 0;
    $self->{batches} = [map { pick(1, 2, 7, 50, 1000) } 1 .. 3];
    $self->{cuts} = [map { rand() } 1 .. 2];
    $self->{rows} //= [Differential::Generator::log_rows(weighted(5 => sub { between(1, 20) }, 10 => sub { between(20, 80) }, 2 => 200))];
    $self->{specs} //= [map { Differential::Generator::spec() } 1 .. $self->{count}];
    return $self;
}

sub dbh { my ($self) = @_; return $self->{server}->dbh }

sub source_sql
{
    my ($self) = @_;
    return q{SELECT readmodel.create_source('log', 'public.log'} . ($self->{mapped} ? q{, metadata => 'metadata', occurred_at => 'occurred_at'} : '') . ')';
}

# The event table and its source; definitions come later, so that the order of these can vary.
sub begin
{
    my ($self) = @_;
    my $dbh = $self->dbh;
    $dbh->do(q{SELECT readmodel.create_event_table('public.log')});
    $dbh->do($self->source_sql);
    $self->{appended} = 0;
    return;
}

# Appends so much of the log that this share of it is there.
sub append_up_to
{
    my ($self, $share) = @_;
    my @rows = @{ $self->{rows} };
    my $upto = $share >= 1 ? scalar @rows : int($share * @rows);
    return if $upto <= $self->{appended};
    $self->dbh->do('INSERT INTO public.log (type, stream_id, data, metadata, occurred_at) VALUES '
        . join(', ', @rows[$self->{appended} .. $upto - 1]));
    $self->{appended} = $upto;
    return;
}

sub define
{
    my ($self) = @_;
    my $n = 0;
    foreach my $spec (@{ $self->{specs} })
    {
        my $name = 'q' . $n++;
        my $parallel = 1 + $n % 3;
        my $query = { name => $name, spec => $spec, parallel => $parallel };
        push @{ $self->{queries} }, $query;
        eval { $self->dbh->do(q{SELECT readmodel.define_query($1, 'log', spec => $2::jsonb, options => $3::jsonb)}, undef, $name, $spec,
                qq{{"parallel": $parallel}}); 1 }
          or do {
            # Now and then a random spec could never work: the interpreter says so too, and there is nothing to fold.
            my $error = $@;
            if (eval { $self->dbh->do('SELECT spec_interpreter.compile($1::jsonb)', undef, $spec); 1 }) { $query->{refused} = $error }
            else { pop @{ $self->{queries} } }
          };
    }
    return;
}

sub defined_queries { my ($self) = @_; return grep { !$_->{refused} } @{ $self->{queries} } }

# In a session of its own, so that nothing is known of before.
sub catch_up
{
    my ($self, $batch_size) = @_;
    $self->{server}->set('readmodel.batch_size' => $batch_size);
    $self->{server}->reconnect;
    foreach my $query ($self->defined_queries)
    {
        eval { $self->dbh->do('CALL readmodel.catch_up($1)', undef, $query->{name}); 1 } or do {
            # The updater fails; in a later piece the query has failed.
            die $@ if $self->dbh->state ne ($query->{has_failed}++ ? 'RM002' : '38000');
        };
    }
    return;
}

# Until the workers have applied or refused everything.
sub wait_for_workers
{
    my ($self) = @_;
    my $give_up = time + $limit;
    while (1)
    {
        my $rows = $self->dbh->selectcol_arrayref(q{
            SELECT concat_ws(' ', name, status, reason, position, settled_position, head_position) FROM readmodel.status()
            WHERE NOT (status = 'failed' AND reason LIKE 'updater_error%' OR status = 'ready' AND lag = 0)});
        return if !@$rows;
        die "the workers do not come to the end: $rows->[0]\n" if time > $give_up;
        sleep 0.005;
    }
}

# The ways to the end of the log.
my %ways = (
    catch_up => sub {
        my ($self) = @_;
        $self->append_up_to(1);
        $self->define;
        $self->catch_up($self->{batches}[0]);
    },
    pieces => sub {
        my ($self) = @_;
        $self->define;
        my ($first, $second) = sort { $a <=> $b } @{ $self->{cuts} };
        my $piece = 0;
        foreach my $cut ($first, $second, 1)
        {
            $self->append_up_to($cut);
            $self->catch_up($self->{batches}[$piece++]);
        }
    },
    rebuild => sub {
        my ($self) = @_;
        $self->append_up_to(1);
        $self->{server}->set('readmodel.batch_size' => $self->{batches}[0]);
        $self->define;
        $self->wait_for_workers;
        return if $self->{cuts}[0] < 0.5;
        # What failed does not become ready, and so its rebuild cannot be waited for as others are.
        $self->compare;
        $self->{server}->set('readmodel.batch_size' => $self->{batches}[1]);
        foreach my $query (grep { !$_->{fails} } $self->defined_queries)
        {
            $self->dbh->do('SELECT readmodel.rebuild($1)', undef, $query->{name});
        }
        $self->wait_for_workers;
    },
    tail => sub {
        my ($self) = @_;
        my ($first, $second) = sort { $a <=> $b } @{ $self->{cuts} };
        $self->append_up_to($first);
        $self->{server}->set('readmodel.batch_size' => $self->{batches}[0]);
        $self->define;
        $self->wait_for_workers if $self->{batches}[1] > 2;
        $self->append_up_to($second);
        $self->wait_for_workers;
        $self->append_up_to(1);
        $self->wait_for_workers;
    },
    restart => sub {
        my ($self) = @_;
        $self->append_up_to($self->{cuts}[0]);
        $self->define;
        $self->wait_for_workers;
        # Recovery has nothing to go through of all that the other rounds have done.
        $self->dbh->do('CHECKPOINT');
        $self->{server}->restart($self->{cuts}[1] < 0.5 ? 'immediate' : 'fast');
        $self->append_up_to(1);
        $self->wait_for_workers;
    });

# Returns the queries that differ, each with `difference` told.
sub run
{
    my ($self) = @_;
    $self->begin;
    $ways{ $self->{way} }->($self);
    return $self->compare;
}

sub expect
{
    my ($self) = @_;
    my $dbh = $self->dbh;
    $dbh->do('DELETE FROM differential.expected');
    my $n = 0;
    foreach my $query (@{ $self->{queries} })
    {
        eval { $dbh->do(q{INSERT INTO differential.expected SELECT $1, id, state, position FROM spec_interpreter.fold($2::jsonb, 'public.log', $3)},
                undef, $query->{name}, $query->{spec}, $self->{mapped}); 1 }
          or do { die $@ if $dbh->state ne 'OUTGR'; $query->{outgrown} = 1 };
        ($query->{fails}) = $dbh->selectrow_array(
            q{SELECT format('error %s at %s', state ->> 'sqlstate', position) FROM differential.expected WHERE query = $1 AND id IS NULL},
            undef, $query->{name});
    }
    return;
}

sub compare
{
    my ($self) = @_;
    $self->expect;
    my $dbh = $self->dbh;
    my $failures = $dbh->selectall_hashref(q{SELECT name, format('error %s at %s', error_sqlstate, error_position) AS failure, error_message,
        status FROM readmodel.status() WHERE error_position IS NOT NULL}, 'name');
    foreach my $query (grep { !$_->{outgrown} } $self->defined_queries)
    {
        my $failure = $failures->{ $query->{name} };
        my ($wanted, $found) = ($query->{fails} // 'no error', $failure ? $failure->{failure} : 'no error');
        # Of several lanes one may fail at a later event, before the one that meets the first has come to it; and they go on
        # for a moment.
        next if $query->{parallel} > 1 && $query->{fails} && $failure;
        if ($wanted ne $found)
        {
            $query->{difference} = "interpreter: $wanted\nextension:   $found" . ($failure ? ": $failure->{error_message}" : '') . "\n";
            next;
        }
        my ($table) = $dbh->selectrow_array(q{SELECT readmodel.state_table($1)}, undef, $query->{name});
        my ($id, $position, @differ) = $dbh->selectrow_array(qq{
            SELECT id, coalesce(w.position, f.position), w.state::text, w.position, f.state::text, f.position
            FROM (SELECT id, state, position FROM differential.expected WHERE query = \$1 AND id IS NOT NULL) AS w
            FULL JOIN $table AS f USING (id)
            WHERE (w.state::text COLLATE "C", w.position) IS DISTINCT FROM (f.state::text COLLATE "C", f.position)
            ORDER BY 2, 1 LIMIT 1}, undef, $query->{name});
        next if !defined $id;
        $_ //= '(none)' foreach @differ;
        $query->{difference} = "instance \"$id\"\ninterpreter: $differ[0] at $differ[1]\nextension:   $differ[2] at $differ[3]\n";
    }
    $_->{difference} = "refused by the extension: $_->{refused}" foreach grep { $_->{refused} } @{ $self->{queries} };
    return grep { $_->{difference} } @{ $self->{queries} };
}

sub end
{
    my ($self) = @_;
    my $dbh = $self->dbh;
    # In one transaction each: a worker that holds one of them back is waited for, and nothing is left half.
    $dbh->do(q{SELECT readmodel.drop_query(name) FROM readmodel.status()});
    $dbh->do(q{SELECT readmodel.drop_source('log')});
    $dbh->do('DROP TABLE public.log');
    return;
}

1;
