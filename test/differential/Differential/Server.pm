# The connection to the throw-away server, and what is done to it.
package Differential::Server;

use strict;
use warnings;
use DBI;
use Time::HiRes qw(sleep time);

sub new
{
    my ($class) = @_;
    my $self = bless { set => {} }, $class;
    $self->reconnect;
    return $self;
}

sub dbh { my ($self) = @_; return $self->{dbh} }

sub reconnect
{
    my ($self) = @_;
    $self->{dbh}->disconnect if $self->{dbh};
    $self->{dbh} = DBI->connect('dbi:Pg:dbname=postgres', undef, undef,
        { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => 1 });
    $self->{dbh}->do('SET client_min_messages = warning');
    $self->{dbh}->do(q{SET statement_timeout = '120s'});
    return;
}

# A setting, for everybody, before this returns to whoever starts a new session.
sub set
{
    my ($self, $name, $value) = @_;
    return if ($self->{set}{$name} // '') eq $value;
    $self->{set}{$name} = $value;
    $self->dbh->do("ALTER SYSTEM SET $name = '$value'");
    $self->dbh->do('SELECT pg_reload_conf()');
    my $give_up = time + 60;
    # The postmaster gives new sessions what it has read itself; ours hears of it at about the same time.
    while (1)
    {
        $self->reconnect;
        return if $self->dbh->selectrow_array('SELECT setting FROM pg_settings WHERE name = $1', undef, $name) eq $value;
        die "$name is not $value within 60 s\n" if time > $give_up;
        sleep 0.002;
    }
}

sub restart
{
    my ($self, $mode) = @_;
    $self->{dbh}->disconnect;
    delete $self->{dbh};
    system('pg_ctl', '-D', $ENV{DIFFERENTIAL_DATA}, '-l', $ENV{DIFFERENTIAL_LOG}, '-w', '-s', '-m', $mode, 'restart') == 0
      or die "the server does not start again\n";
    $self->reconnect;
    return;
}

1;
