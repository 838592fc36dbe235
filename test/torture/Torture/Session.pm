# A connection that comes back, and the diary of an actor: a line for each step, with the time and how it ended.
package Torture::Session;

use strict;
use warnings;
use DBI;
use Time::HiRes qw(sleep time);

my $connect_within = 60;    # s

# Set by the handler of signals, whose exception may end in any of the evals here.
our $stopping = 0;

# `until`: when the run is over, epoch seconds: nobody waits for a server longer than that plus the limit.
sub new
{
    my ($class, $name, $diary_file, %options) = @_;
    open(my $diary, '>>', $diary_file) or die "cannot write $diary_file: $!";
    $diary->autoflush(1);
    return bless { name => $name, diary => $diary, statement_timeout => $options{statement_timeout} // '20s' }, $class;
}

sub note
{
    my ($self, $n, $op, $outcome, $detail) = @_;
    $detail //= '';
    $detail =~ s/\s+/ /g;
    printf { $self->{diary} } "%.6f\t%s\t%s\t%s\t%s\n", time, $n, $op, $outcome, $detail;
    return;
}

sub open_connection
{
    my ($self) = @_;
    my $dsn = "dbi:Pg:dbname=postgres;application_name='torture $self->{name}'";
    my $dbh = DBI->connect($dsn, undef, undef, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1 });
    $dbh->{pg_server_prepare} = 0;
    $dbh->do("SET statement_timeout = '$self->{statement_timeout}'");
    $dbh->do('SET client_min_messages = warning');
    return $dbh;
}

# Waits for the server, within limits.
sub handle
{
    my ($self) = @_;
    my $give_up = time + $connect_within;
    while (!$self->{dbh})
    {
        $self->{dbh} = eval { $self->open_connection };
        my $error = $@;
        die "stopped\n" if $stopping;
        last if $self->{dbh};
        if (time > $give_up)
        {
            $self->note('-', 'connect', 'unexpected', "no connection within $connect_within s: $error");
            die "no connection within $connect_within s: $error";
        }
        sleep 0.05;
    }
    return $self->{dbh};
}

sub forget
{
    my ($self) = @_;
    my $dbh = delete $self->{dbh} or return;
    eval { $dbh->disconnect };
    return;
}

# Runs a step. Returns 'ok', 'lost' (the connection went; what was in flight may or may not have been done), or the SQLSTATE.
sub attempt
{
    my ($self, $work) = @_;
    my $dbh = $self->handle;
    my @result = eval { $work->($dbh) };
    if (!$@)
    {
        $self->{detail} = join(' ', map { $_ // 'null' } @result);
        return 'ok';
    }
    my $error = $@;
    die "stopped\n" if $stopping;
    my $state = $dbh->state;
    $self->{detail} = $error;
    if (!eval { $dbh->ping })
    {
        $self->forget;
        return 'lost';
    }
    # Not an error of the server's: a mistake in this program.
    die $error if !$state;
    # In a transaction or in a COPY: a new connection is the surest way out of either.
    $self->forget if !eval { $dbh->do('ROLLBACK') if $dbh->ping > 1; 1 };
    return $state;
}

# Runs a step of the plan and notes it; SQLSTATEs that are not among the expected ones make the run fail.
sub step
{
    my ($self, $n, $op, $expected, $work) = @_;
    my $outcome = $self->attempt($work);
    my $known = $outcome =~ /^(ok|lost)$/ || grep { $_ eq $outcome } @$expected;
    $self->note($n, $op, $known ? $outcome : "unexpected $outcome", $self->{detail});
    return $outcome;
}

1;
