# Programs that a test starts beside it, and that end with it, however it ends: at its last line, by die, by SIGTERM or SIGINT. Each is
# a session of its own, so what it starts in turn (a browser's many processes) ends with it too. What it says goes to a file, so it
# never waits for the test.
#
# Perl's END blocks, PostgreSQL::Test::Cluster's among them, do not run when a signal ends it. Whoever uses this module has them run.
package TestProcess;

use strict;
use warnings;
use File::Temp;
use POSIX qw(SIGTERM SIGINT SIGHUP SIG_BLOCK SIG_UNBLOCK WNOHANG);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

my $test = $$;
my %running;    # pid => 1

$SIG{TERM} = sub { end_by(15) };
$SIG{INT} = sub { end_by(2) };
$SIG{HUP} = sub { end_by(1) };

# Whoever was forked by the test leaves the test's servers alone.
sub end_by
{
    my ($signal) = @_;
    POSIX::_exit(128 + $signal) if $$ != $test;
    exit 128 + $signal;
}

# new([program, arguments ..], NAME => value ..): with these variables in its environment
sub new
{
    my ($class, $command, %environment) = @_;
    my $self = bless {output => File::Temp->new}, $class;
    # A signal between fork and the note of it would leave the program behind.
    my $signals = POSIX::SigSet->new(SIGTERM, SIGINT, SIGHUP);
    POSIX::sigprocmask(SIG_BLOCK, $signals);
    $self->{pid} = fork // die "fork: $!";
    if (!$self->{pid})
    {
        $SIG{$_} = 'DEFAULT' foreach qw(TERM INT HUP);
        POSIX::sigprocmask(SIG_UNBLOCK, $signals);
        POSIX::setsid();
        %ENV = (%ENV, %environment);
        open STDERR, '>&', $self->{output} or POSIX::_exit(126);
        open STDOUT, '>&', $self->{output} or POSIX::_exit(126);
        exec {$command->[0]} @$command or POSIX::_exit(127);
    }
    $running{$self->{pid}} = 1;
    POSIX::sigprocmask(SIG_UNBLOCK, $signals);
    return $self;
}

sub pid { my ($self) = @_; return $self->{pid} }

# What it has said so far.
sub log
{
    my ($self) = @_;
    return slurp_file($self->{output}->filename);
}

# Waits until it has said what the pattern wants; false if it has ended, or when so many seconds have passed.
sub wait_log
{
    my ($self, $pattern, $limit) = @_;
    my $end = time + $limit;
    until ($self->log =~ $pattern)
    {
        return 0 if time > $end || defined $self->ended;
        sleep 0.02;
    }
    return 1;
}

# Its exit status once it has ended, else nothing.
sub ended
{
    my ($self) = @_;
    return $self->{ended} if defined $self->{ended};
    return undef if waitpid($self->{pid}, WNOHANG) != $self->{pid};
    $self->{ended} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    end_session($self->{pid});
    return $self->{ended};
}

sub wait_end
{
    my ($self, $limit) = @_;
    my $end = time + $limit;
    sleep 0.01 until defined $self->ended || time > $end;
    return $self->ended;
}

sub signal
{
    my ($self, $signal) = @_;
    return defined $self->ended ? 0 : kill $signal, $self->{pid};
}

# Asks it to end, and sees to it that it has when so many seconds have passed. Returns its exit status.
sub stop
{
    my ($self, $limit) = @_;
    $self->signal('TERM');
    $self->signal('KILL') unless defined $self->wait_end($limit);
    return $self->wait_end($limit);
}

sub DESTROY
{
    my ($self) = @_;
    local ($@, $?, $!);
    # A child of the test has a copy of this object, not of the program.
    if ($$ == $test && !defined $self->{ended})
    {
        kill 'KILL', $self->{pid};    # it may not be a session yet
        end_session($self->{pid});
        waitpid $self->{pid}, 0;
    }
    return;
}

# At once and without asking, the program and all that it has started. Processes that come up meanwhile are seen in the next round.
sub end_session
{
    my ($session) = @_;
    delete $running{$session};
    while (my @left = members($session))
    {
        kill 'KILL', @left;
        sleep 0.01;
    }
    return;
}

# The processes of a session that still run.
sub members
{
    my ($session) = @_;
    my @members;
    foreach my $file (glob '/proc/[0-9]*/stat')
    {
        open my $stat, '<', $file or next;
        my $line = <$stat> // next;
        # pid (program) state parent group session: the program's name can hold anything
        my ($pid, $state, $in) = $line =~ /^(\d+) .*\) (\S) -?\d+ -?\d+ (-?\d+) /s or next;
        push @members, $pid if $in == $session && $state ne 'Z';
    }
    return @members;
}

END
{
    local ($@, $?, $!);
    if ($$ == $test)
    {
        kill 'KILL', keys %running;
        end_session($_) foreach keys %running;
    }
}

1;
