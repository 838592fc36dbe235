# What is done to the server and its processes.
package Torture::Server;

use strict;
use warnings;
use POSIX qw(:sys_wait_h :signal_h setpgid);
use Time::HiRes qw(sleep time);

# From the environment, set by test/tools/torture.sh.
my $data = $ENV{TORTURE_DATA};
my $log = $ENV{TORTURE_LOG};

sub write_settings
{
    my (@hashes) = @_;
    my %all = map { %{ $_ // {} } } @hashes;
    open(my $file, '>', "$data/torture.conf.new") or die $!;
    print $file "$_ = '$all{$_}'\n" foreach sort keys %all;
    close($file) or die $!;
    rename("$data/torture.conf.new", "$data/torture.conf") or die $!;
    return;
}

# In a process group of its own: a Ctrl-C is not to stop it halfway, with a server that nobody knows of.
sub pg_ctl
{
    my (@arguments) = @_;
    my $signals = POSIX::SigSet->new(SIGINT, SIGTERM, SIGHUP);
    sigprocmask(SIG_BLOCK, $signals);
    my $pid = fork // die "cannot fork: $!";
    if ($pid == 0)
    {
        setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' foreach qw(INT TERM HUP);
        sigprocmask(SIG_UNBLOCK, $signals);
        open(STDOUT, '>>', "$log.pg_ctl");
        open(STDERR, '>>', "$log.pg_ctl");
        exec('pg_ctl', '-D', $data, '-w', '-s', @arguments) or POSIX::_exit(127);
    }
    # Whatever is wanted of this process meanwhile, pg_ctl comes to its end first.
    1 while waitpid($pid, 0) != $pid;
    my $good = $? == 0;
    sigprocmask(SIG_UNBLOCK, $signals);
    return $good;
}

sub start { return pg_ctl('-l', $log, '-t', '60', 'start') }

sub restart
{
    my ($session, $mode) = @_;
    $session->handle;    # it is up, and past the recovery from the last crash
    $session->forget;
    my $begin = time;
    my $stopped = pg_ctl('-m', $mode, '-t', '30', 'stop');
    my $took = time - $begin;
    pg_ctl('-m', 'immediate', '-t', '30', 'stop') if !$stopped;
    my $started = start();
    $session->handle;
    return ($stopped && $started, sprintf('%s, stopped in %.2f s, %s', $mode, $took, $started ? 'started' : 'not started'));
}

# The pid of our worker of a kind; whoever has it is a process of this very server.
sub worker
{
    my ($session, $kind) = @_;
    my $pid;
    my $outcome = $session->attempt(sub {
        my ($dbh) = @_;
        $pid = $dbh->selectrow_array('SELECT pid FROM pg_stat_activity WHERE backend_type = ? ORDER BY pid LIMIT 1', undef, "pg_readmodel $kind");
    });
    my $directory = $pid ? readlink("/proc/$pid/cwd") // '' : '';
    return $pid && $directory eq $data ? $pid : undef;
}

sub signal_worker
{
    my ($session, $signal, $kind) = @_;
    my $give_up = time + 1;
    my $pid;
    sleep 0.02 while !($pid = worker($session, $kind)) && time < $give_up;
    if (!$pid)
    {
        # Rebuild workers come and go.
        $kind = 'tail';
        $pid = worker($session, $kind);
    }
    return ('nobody', '') if !$pid;
    return kill($signal, $pid) ? ('ok', "SIG$signal to the $kind worker, $pid") : ('nobody', '');
}

sub freeze
{
    my ($session, $ms) = @_;
    my $pid = worker($session, 'tail') or return ('nobody', '');
    kill('STOP', $pid) or return ('nobody', '');
    # A signal to this process ends the sleep by an exception.
    my $undisturbed = eval { sleep($ms / 1000); 1 };
    my $error = $@;
    kill('CONT', $pid);
    die $error if !$undisturbed;
    return ('ok', "the tail worker, $pid, for $ms ms");
}

sub run
{
    my ($session, $plan, $actor, $n, $step) = @_;
    my $op = $step->{op};
    if ($op =~ /^restart_(fast|immediate)$/)
    {
        write_settings($plan->{settings}, $step->{settings});
        my ($good, $told) = restart($session, $1);
        $session->note($n, $op, $good ? 'ok' : 'unexpected failure', $told);
    }
    elsif ($op eq 'reload')
    {
        write_settings($plan->{settings}, $step->{settings});
        $session->step($n, $op, [], sub { $_[0]->do('SELECT pg_reload_conf()'); return join(' ', map { "$_=$step->{settings}{$_}" } sort keys %{ $step->{settings} }) });
    }
    elsif ($op eq 'terminate_backend')
    {
        $session->step($n, $op, [], sub {
            my ($dbh) = @_;
            my @all = @{ $dbh->selectcol_arrayref(q{SELECT pid FROM pg_stat_activity
                WHERE application_name LIKE 'torture %' AND pid <> pg_backend_pid() ORDER BY application_name}) };
            return @all ? $dbh->selectrow_array('SELECT pg_terminate_backend(?)', undef, $all[ $step->{victim} % @all ]) : 'nobody';
        });
    }
    elsif ($op eq 'freeze_tail')
    {
        $session->note($n, $op, freeze($session, $step->{wait}));
    }
    elsif ($op =~ /^(kill|term)_(tail|rebuild|launcher)$/)
    {
        $session->note($n, $op, signal_worker($session, uc($1), $2));
    }
    else { die "no step \"$op\"" }
    return;
}

1;
