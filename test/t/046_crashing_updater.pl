# An updater that brings down the server, or its worker, fails after three times in a row. Nobody else does, whoever crashed.
# Seen to fail with: a note that SIGQUIT does not take back; attempts that are not forgotten, and are counted although there was
# progress; generations of one definition that fail one after the other.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('crashing', 'readmodel.batch_size = 50', 'readmodel.flush_interval = 50', 'max_worker_processes = 12');

# A function in C that does it.
my $directory = PostgreSQL::Test::Utils::tempdir;
append_to_file("$directory/bring_down.c", q{
#include "postgres.h"
#include <signal.h>
#include <unistd.h>
#include "fmgr.h"
#include "utils/builtins.h"
PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(bring_down);
Datum
bring_down(PG_FUNCTION_ARGS)
{
    char *how = text_to_cstring(PG_GETARG_TEXT_PP(0));
    if (strcmp(how, "crash") == 0)
    {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would end the process in another way, and report it */
        *(volatile int *) 0 = 0;
    }
    else if (strcmp(how, "fatal") == 0)
        ereport(FATAL, (errmsg("the updater does not want to live")));
    else if (strcmp(how, "exit") == 0)
        exit(1);
    else if (strcmp(how, "leave") == 0)
        _exit(3);
    else if (unlink(how) == 0)   /* once, and never again */
        abort();
    PG_RETURN_BOOL(true);
}
});
chomp(my $headers = `pg_config --includedir-server`);
system_or_bail('gcc', '-shared', '-fPIC', '-I', $headers, '-o', "$directory/bring_down.so", "$directory/bring_down.c");
chmod 0755, $directory;

make_shop($node, 'postgres');
$node->safe_psql('postgres', qq{
    CREATE FUNCTION public.bring_down(text) RETURNS boolean LANGUAGE c STRICT STABLE AS '$directory/bring_down', 'bring_down';
    CREATE TABLE public.faults (amount bigint PRIMARY KEY, fault text);
    CREATE FUNCTION public.daring(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS \$\$
    BEGIN
        IF public.bring_down((SELECT fault FROM public.faults WHERE amount = (event #>> '{data,amount}')::bigint)) THEN
            RETURN state;
        END IF;
        RETURN public.order_placed(state, event);
    END \$\$});
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.ends_itself(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
    BEGIN
        IF EXISTS (SELECT FROM public.faults WHERE amount = (event #>> '{data,amount}')::bigint) THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RETURN public.order_placed(state, event);
    END $$});
my $define = q{SELECT readmodel.define_query('daring', 'shop', 'public.daring(jsonb, jsonb)', key => 'stream')};
$node->safe_psql('postgres', $define);
define_orders($node, 'postgres');
append_orders($node, 'postgres', 50);
wait_until($node, 'postgres', 'readmodel.ready()', 'two queries are ready');

sub of_daring
{
    my ($columns) = @_;
    return $node->safe_psql('postgres', "SELECT $columns FROM readmodel.status() WHERE name = 'daring'");
}

# In the log since a position.
sub count_in_log
{
    my ($since, $pattern) = @_;
    return scalar(() = substr(slurp_file($node->logfile), $since) =~ /$pattern/g);
}

# An order that may bring down the server before the session that appends it has its answer.
sub append_deadly
{
    my ($stream, $amount) = @_;
    my $last = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
    $node->psql('postgres', qq{
        INSERT INTO public.events (stream_id, type, data) VALUES ('$stream', 'OrderPlaced', '{"amount": $amount}')});
    return $last + 1;
}

my $attempts = 'SELECT count(*) FROM readmodel_catalog.attempt';

sub daring_fails
{
    my ($what) = @_;
    wait_until($node, 'postgres', q{readmodel.readiness('daring') = 'failed'}, $what);
    is($node->safe_psql('postgres', $attempts), 0, "$what: what was counted is forgotten");
    wait_ready($node, 'postgres', "$what: the other query is ready");
    append_orders($node, 'postgres', 10);
    states_equal_oracle($node, 'postgres', "$what: and goes on");
}

sub daring_recovers
{
    my ($what) = @_;
    $node->safe_psql('postgres', q{DELETE FROM public.faults; SELECT readmodel.retry('daring')});
    wait_until($node, 'postgres', q{readmodel.ready() AND (SELECT bool_and(lag = 0) FROM readmodel.status())},
        "$what: retried without its cause it is ready");
    equal_up_to($node, 'postgres', 'daring', $node->safe_psql('postgres', 'SELECT max(position) FROM public.events'),
        "$what: with every event once");
}

# --- in the tail, in every way
foreach my $case ([ 'crash', 'the server crashed 3 times in a row while this query was folded', qr/was terminated by signal 11/ ],
    [ 'leave', 'the server crashed 3 times in a row while this query was folded', qr/exited with exit code 3/ ],
    [ 'fatal', 'its worker was ended 3 times in a row while this query was folded', qr/FATAL: .*does not want to live/ ],
    [ 'exit', 'its worker was ended 3 times in a row while this query was folded', qr/WARNING: .*a worker was ended while it folded/ ])
{
    my ($how, $message, $pattern) = @$case;
    $node->restart if $how eq 'exit';    # or the launcher waits longer and longer
    my $log = -s $node->logfile;
    $node->safe_psql('postgres', "INSERT INTO public.faults VALUES (4711, '$how')");
    my $position = append_deadly('customer 1', 4711);
    daring_fails($how);
    is(of_daring('reason, error_message, error_position, position'),
        "updater_error: SQLSTATE 58000 at position $position|$message|$position|" . ($position - 1), "$how: the status says why");
    is(count_in_log($log, $pattern), 3, "$how: it took three");
    daring_recovers($how);
}

# --- an updater that asks for the end of its own worker
$node->restart;
$node->safe_psql('postgres', q{
    INSERT INTO public.faults VALUES (4711);
    SELECT readmodel.define_query('ends itself', 'shop', 'public.ends_itself(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', q{readmodel.readiness('ends itself') = 'failed'}, 'an updater that terminates its worker fails');
is($node->safe_psql('postgres', q{SELECT error_message FROM readmodel.status() WHERE name = 'ends itself'}),
    'its worker was ended 3 times in a row while this query was folded', 'and the status says why');
states_equal_oracle($node, 'postgres', 'the others are as they were');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('ends itself'); DELETE FROM public.faults});

# --- once is no failure, and is forgotten
my $once = $node->data_dir . '/once';
append_to_file($once, '');
chmod 0666, $once;
my $log = -s $node->logfile;
$node->safe_psql('postgres', "INSERT INTO public.faults VALUES (4712, '$once')");
my $position = append_deadly('customer 2', 4712);
ok($node->poll_query_until('postgres', "SELECT readmodel.wait_for('daring', $position) >= $position"), 'past an event that crashed the server once');
is(count_in_log($log, qr/was terminated by signal 6/), 1, 'which it did');
is(count_in_log($log, qr/WARNING: .*the server crashed while it folded query "daring"\n.*DETAIL: .*position $position, once\. It is tried again/),
    1, 'and the log names the query');
wait_until($node, 'postgres', "($attempts) = 0", 'and nothing is held against it');
$node->safe_psql('postgres', q{DELETE FROM public.faults; SELECT readmodel.rebuild('daring')}); # without that event it would differ
wait_until($node, 'postgres', 'readmodel.ready()', 'built anew without the fault');

# --- in a rebuild, beside another one that does nothing wrong
append_orders($node, 'postgres', 3000);
wait_until($node, 'postgres', q{(SELECT bool_and(lag = 0) FROM readmodel.status())}, 'the others are past it');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 2000');
$node->reload;
$position = $node->safe_psql('postgres', q{SELECT position FROM public.events WHERE data ->> 'amount' = '1500'});
$node->safe_psql('postgres', q{INSERT INTO public.faults VALUES (1500, 'crash')});
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('honest', 'shop', 'public.order_placed(jsonb, jsonb)', key => $$stream || ''$$)});
$node->psql('postgres', q{
    SELECT readmodel.define_query('daring two', 'shop', 'public.daring(jsonb, jsonb)', key => 'stream', options => '{"version": "2"}')});
wait_until($node, 'postgres', q{readmodel.readiness('daring two') = 'failed'}, 'a crash in a rebuild fails its query');
is($node->safe_psql('postgres', q{SELECT error_position FROM readmodel.status() WHERE name = 'daring two'}), $position,
    'at its event');
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['honest', 'orders', 'daring'])}, 'all others become ready');
equal_up_to($node, 'postgres', 'honest', $node->safe_psql('postgres', 'SELECT max(position) FROM public.events'),
    'with every event once');

# --- a crash of somebody else, in the middle of a fold: nobody is to blame, nobody waits
$node->safe_psql('postgres', q{
    SELECT readmodel.drop_query('daring two');
    DELETE FROM public.faults;
    CREATE FUNCTION public.slow(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.05); RETURN state; END $$;
    SELECT readmodel.define_query('slow', 'shop', 'public.slow(jsonb, jsonb)', key => 'stream')});
$log = -s $node->logfile;
foreach my $round (1 .. 3)
{
    ok($node->poll_query_until('postgres',
        q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild' AND wait_event = 'PgSleep'}),
        'a rebuild worker is in the updater');
    my $session = $node->background_psql('postgres');
    chomp(my $pid = $session->query('SELECT pg_backend_pid()'));
    my $launcher = worker_pid($node, 'launcher');
    kill('KILL', $pid);
    eval { $session->quit };
    ok($node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel launcher' AND pid <> $launcher"),
        'the server comes back');
    wait_until($node, 'postgres', q{readmodel.ready(ARRAY['honest', 'orders', 'daring'])}, 'the others are ready again');
}
is($node->safe_psql('postgres', $attempts), 0, 'nothing is counted');
is(count_in_log($log, qr/the server crashed while it folded/), 0, 'against nobody');
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('slow')}), 'rebuilding', 'the slow one rebuilds');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('slow')});

# --- the postmaster does not outlive the crash
$node->append_conf('postgresql.conf', 'restart_after_crash = off');
$node->reload;
$log = -s $node->logfile;
$node->safe_psql('postgres', q{INSERT INTO public.faults VALUES (4714, 'crash')});
$position = append_deadly('customer 3', 4714);
foreach my $round (1 .. 3)
{
    my $stopped = 0;
    foreach my $try (1 .. 1200)
    {
        last if $stopped = !-e $node->data_dir . '/postmaster.pid';
        Time::HiRes::usleep(50_000);
    }
    ok($stopped, 'the server ends');
    $node->_update_pid(0);
    {
        # It may be gone again before or after pg_ctl has seen it, and start() takes the one for an error.
        no warnings 'redefine';
        local *PostgreSQL::Test::Cluster::_update_pid = sub { };
        $node->start(fail_ok => 1);
    }
    $node->_update_pid(-1);
}
daring_fails('restarted by hand');
is(count_in_log($log, qr/was terminated by signal 11/), 3, 'it took three');
daring_recovers('restarted by hand');

$node->stop;
done_testing();
