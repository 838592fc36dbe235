# The torture test; test/tools/torture.sh gives it a server. Writers of every kind append to event tables of every kind while
# queries are changed and processes are killed; at the end, and all along, an independent oracle says whether every state is right.
#
#   Torture::Plan        what every actor will do, decided by the seed before anything runs
#   Torture::Tables      the event tables                    Torture::Queries     the queries, and what their states must be
#   Torture::Writers     append                              Torture::Operators   define, drop, pause, ..
#   Torture::Server      kills, restarts, reloads            Torture::Watch       looks whether what is told is true
#   Torture::Oracle      compares states with events         Torture::Blame       tells what belongs to a difference
#   Torture::Session     a connection that comes back, and the diary of what was done
#   Torture::Tally       whether enough happened
use strict;
use warnings;
use File::Glob ':bsd_glob';    # a path may have blanks
use FindBin;
use lib $FindBin::Bin;
use IO::Handle;
use POSIX qw(:sys_wait_h :signal_h);
use Time::HiRes qw(sleep time);
use Torture::Blame;
use Torture::Operators;
use Torture::Oracle;
use Torture::Plan;
use Torture::Queries;
use Torture::Server;
use Torture::Session;
use Torture::Tables;
use Torture::Tally;
use Torture::Watch;
use Torture::Writers;

STDOUT->autoflush(1);
my ($seed, $seconds) = ($ENV{TORTURE_SEED}, $ENV{TORTURE_SECONDS});
my $diaries = $ENV{TORTURE_DIARIES};
my $plan = Torture::Plan->new($seed, $seconds);
if ($ENV{TORTURE_PLAN})
{
    print $plan->text;
    exit 0;
}

my $ready_within = 60;    # s, after the last writer has stopped
my %children;             # pid => actor
my @problems;

sub problem
{
    my ($text) = @_;
    push @problems, $text;
    print "PROBLEM: $text\n";
    return;
}

# Until none but the named one is left, one has found a fault, or the time is up.
sub reap
{
    my ($give_up, $stays) = @_;
    while (grep { $_ ne $stays } values %children)
    {
        my $pid = waitpid(-1, WNOHANG);
        if ($pid > 0)
        {
            my $actor = delete $children{$pid} or next;
            problem("$actor ended with status " . ($? >> 8) . ($? & 127 ? ", signal @{[ $? & 127 ]}" : '')) if $?;
            return if $?;
            next;
        }
        return if time > $give_up;
        sleep 0.02;
    }
    return;
}

# An actor's process: what it has to say goes into its diary, and what is wrong into a file beside it.
sub run_actor
{
    my ($actor, $work) = @_;
    # A signal finds either process with the handler that is its own.
    my $signals = POSIX::SigSet->new(SIGINT, SIGTERM, SIGHUP);
    sigprocmask(SIG_BLOCK, $signals);
    my $pid = fork // die "cannot fork: $!";
    if ($pid)
    {
        $children{$pid} = $actor;
        sigprocmask(SIG_UNBLOCK, $signals);
        return;
    }
    %children = ();
    $SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { $Torture::Session::stopping = 1; die "stopped\n" };
    my $session = Torture::Session->new($actor, "$diaries/$actor", statement_timeout => $actor =~ /^(definitions|operator|mender)$/ ? '40s' : '20s');
    my $done = eval { sigprocmask(SIG_UNBLOCK, $signals); $work->($session); 1 };
    my $error = $@;
    if (!$done && $error ne "stopped\n")
    {
        $session->note('-', 'program', 'unexpected error', $error);
        print STDERR "$actor: $error";
    }
    if (my $fault = $session->{fault})
    {
        open(my $file, '>', "$ENV{TORTURE_FAULTS}/$actor") or die $!;
        print $file $fault;
        close($file);
    }
    $session->forget;
    POSIX::_exit($session->{fault} ? 3 : $done || $error eq "stopped\n" ? 0 : 2);
}

sub run_steps
{
    my ($session, $actor, $start, $until, $run) = @_;
    my $n = 0;
    foreach my $step ($plan->steps($actor))
    {
        my $wait = $start + $step->{at} / 1000 - time;
        sleep $wait if $wait > 0;
        return if time >= $until || $Torture::Session::stopping;
        return if $run->($session, $plan, $actor, $n++, $step);
    }
    return;
}

# Whoever waits in a statement does not hear a signal: they are killed. Only the one who may be starting the server comes to an end
# of his own, or nobody would know that it runs.
sub stop_children
{
    kill('TERM', keys %children);
    my $begin = time;
    while (%children && time < $begin + 90)
    {
        while ((my $pid = waitpid(-1, WNOHANG)) > 0) { delete $children{$pid} }
        kill($children{$_} eq 'server' ? 'TERM' : 'KILL', $_) foreach time > $begin + 2 ? keys %children : ();
        sleep 0.1;
    }
    kill('KILL', keys %children);
    return;
}

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub {
    local $SIG{$_} = 'IGNORE' foreach qw(INT TERM HUP);
    stop_children();
    POSIX::_exit(130);
};

print "torture test: SEED=$seed SECONDS=$seconds, plan " . $plan->digest . "\n";
Torture::Server::write_settings($plan->{settings});
Torture::Server::start() or die "the server does not start\n";

my $main = Torture::Session->new('main', "$diaries/main", statement_timeout => '60s');
my $dbh = $main->handle;
$dbh->do('CREATE EXTENSION pg_readmodel');
Torture::Tables::create($dbh);
Torture::Queries::define($dbh, @$_) foreach @{ $plan->{first} };
$main->forget;

my $start = time;
my $until = $start + $seconds;
foreach my $actor ($plan->actors)
{
    my $run = $actor =~ /writer/ ? sub { Torture::Writers::run(@_); return }
      : $actor =~ /^watcher/ ? \&Torture::Watch::compare
      : $actor eq 'server' ? sub { Torture::Server::run(@_); return }
      : \&Torture::Operators::run;
    run_actor($actor, sub { run_steps($_[0], $actor, $start, $until, $run) });
}
my $durable = $plan->{settings}{'readmodel.synchronous_commit'} eq 'on';
run_actor('positions', sub { Torture::Watch::positions($_[0], $durable, $until) });
run_actor('sampler', sub { Torture::Watch::sample($_[0], $start, $until) });
run_actor('finisher', sub {
    my ($session) = @_;
    # As long as there are others: they may wait for the transactions that it finishes.
    while (time < $until + 100) { Torture::Writers::finish_prepared($session); sleep 0.03 }
});

# The time, and as long again as a statement may last; the server may be on its way up.
reap($until + 90, 'finisher');
my @late = grep { $_ ne 'finisher' } values %children;
problem('these did not end: ' . join(', ', sort @late)) if @late && !@problems;
stop_children();

# Everything that pends is brought to its end.
sub settle
{
    $dbh = $main->handle;
    Torture::Server::write_settings($plan->{settings});
    $dbh->do('SELECT pg_reload_conf()');
    Torture::Writers::finish_prepared($main, 1);
    # The status of one that has failed, too, does not tell of it.
    foreach my $query (@{ $dbh->selectcol_arrayref('SELECT name FROM readmodel_catalog.query WHERE paused_at IS NOT NULL') })
    {
        $dbh->do('SELECT readmodel.resume(?)', undef, $query);
    }
    my $code = $Torture::Queries::tolerant;
    my $give_up = time + $ready_within;
    my $pending;
    do
    {
        # What waits for an operator. Whoever was changed a moment ago is looked at again.
        foreach my $waits (@{ $dbh->selectall_arrayref(q{SELECT name, status, reason FROM readmodel.status() WHERE status IN ('gated', 'failed')}) })
        {
            my ($query, $status, $reason) = @$waits;
            $main->attempt(sub {
                my ($handle) = @_;
                if ($status eq 'gated') { $handle->do('SELECT readmodel.approve(?)', undef, $query) }
                elsif ($reason =~ /^updater_error/) { Torture::Operators::mend($handle, $query, $code++) }
                elsif ($reason =~ /^operator/) { $handle->do('SELECT readmodel.retry(?)', undef, $query) }
            });
            $dbh = $main->handle;
        }
        $pending = $dbh->selectrow_array(q{
            SELECT string_agg(what, '; ') FROM (
                SELECT format('query "%s" is %s%s at %s of %s', q.name, q.status, ' (' || q.reason || ')', q.position, s.settled_position)
                FROM readmodel.status() q JOIN readmodel_catalog.query USING (name) JOIN readmodel_catalog.source c USING (source_id)
                JOIN readmodel.source_status() s ON s.name = c.name
                WHERE q.status <> 'ready' OR q.position IS DISTINCT FROM s.settled_position
                    OR coalesce(s.settled_position < s.head_position, true)
                UNION ALL
                SELECT format('query "%s", generation %s is %s at %s of %s', q.name, g.generation, g.status, g.position, s.settled_position)
                FROM readmodel_catalog.query q JOIN readmodel_catalog.source c USING (source_id)
                JOIN readmodel.source_status() s ON s.name = c.name, readmodel.generations(q.name) g
                WHERE g.generation <> q.newest AND g.status NOT IN ('failed', 'gated') AND (g.status <> 'ready' OR g.position IS DISTINCT FROM s.settled_position)
                UNION ALL
                SELECT format('source "%s" waits at %s for %s', name, pending_hole, blocked_by) FROM readmodel.source_status()
                WHERE blocked_by IS NOT NULL
                UNION ALL
                SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts) pending (what)});
        sleep 0.1 if defined $pending;
    } while (defined $pending && time < $give_up);
    problem("not settled within $ready_within s: $pending") if defined $pending;
    return;
}

# Every generation, once nothing moves any more.
sub judge
{
    Torture::Oracle::begin_snapshot($dbh);
    my @all = Torture::Oracle::generations($dbh);
    my ($events, $instances, $differ, $letters) = (0, 0, 0, 0);
    my %code = (map({ $_->{query} => $_->{definition}{code} } grep { $_->{newest} } @all),
        map { @$_ } @{ $dbh->selectall_arrayref('SELECT query, code FROM torture.current') });
    foreach my $one (@all)
    {
        my $table = $dbh->selectrow_array('SELECT readmodel.state_table(?, ?)::text', undef, $one->{query}, $one->{generation});
        my $result = Torture::Oracle::compare($dbh, $one, $table);
        $events += $result->{events};
        $instances += $result->{instances};
        $letters += $result->{letters};
        if (@{ $result->{faults} })
        {
            $differ++;
            problem("\"$one->{query}\", generation $one->{generation}: " . join('; ', @{ $result->{faults} }));
            print Torture::Blame::text($dbh, $one, $table, $result, 'at the end');
        }
        # Only the generations whose updater was replaced stand still, some while an instance was folded afresh; and older ones that had
        # failed before that.
        my $template = $one->{definition}{template};
        my $replaced = ($template eq 'recent' || Torture::Queries::replaced_in_place($template)) && $one->{definition}{code} ne $code{ $one->{query} };
        my $allowed = $replaced && ($one->{failure} // '') eq 'definition_changed'
          || $replaced && !$one->{newest} && ($one->{failure} // '') eq 'late_event'
          || $template eq 'strict' && !$one->{newest} && ($one->{failure} // '') eq 'updater_error';
        problem("\"$one->{query}\", generation $one->{generation} has failed: $one->{failure}") if $one->{failure} && !$allowed;
        problem("\"$one->{query}\", generation $one->{generation} is $one->{status}, but its updater was replaced") if $replaced && !$one->{failure};
    }
    $dbh->do('COMMIT');
    problem('the oracle had too little to compare') if @all < 12 || $events < 20 * $seconds || $instances < 100 || $letters < $seconds;
    return "$differ of " . scalar(@all) . ' generations differ from plain SQL' if $differ;
    return scalar(@all) . " generations with $instances instances of $events events and $letters dead letters are what plain SQL makes of them";
}

my $verdict = '';
if (!@problems)
{
    settle();
    $verdict = judge();
}
print do { open(my $file, '<', $_) or die $!; local $/; <$file> } foreach sort glob("$ENV{TORTURE_FAULTS}/*");

my $tally = Torture::Tally->new($diaries, $ENV{TORTURE_LOG});
problem($_) foreach @{ $tally->{unexpected} }[ 0 .. ($#{ $tally->{unexpected} } > 14 ? 14 : $#{ $tally->{unexpected} }) ];
problem('.. and ' . (@{ $tally->{unexpected} } - 15) . ' more') if @{ $tally->{unexpected} } > 15;
my $cut_short = @problems > 0;
print "What happened:\n";
foreach my $line ($tally->coverage($plan->{settings}))
{
    my ($what, $count, $least) = @$line;
    # Half of what was seen on a machine with nothing else to do: a busy one gets less done.
    $least = int($least * $seconds / 40 + 0.5);
    printf "  %6d  %s\n", $count, $what;
    problem("too little happened: $count $what, at least $least are wanted") if $count < $least && !$cut_short;
}
print 'Figures: ' . $tally->figures($start, $seconds) . ", readmodel.synchronous_commit = $plan->{settings}{'readmodel.synchronous_commit'}\n";
$main->forget;

print "$verdict.\n" if $verdict;
if (@problems)
{
    # Once more: of a long output often only the end is kept.
    print "PROBLEM: $_\n" foreach @problems[ 0 .. ($#problems > 19 ? 19 : $#problems) ];
    print "FAILED: SEED=$seed SECONDS=$seconds\n";
    exit 1;
}
print "ok: SEED=$seed SECONDS=$seconds\n";
