# Whoever holds a transaction open holds up only what lies after his own hole, is named, and is
# waited for no longer than he is open; and holes that nobody can fill hold up nothing for longer than those who were open when they
# were seen.
#
# READMODEL_LONG=1 keeps the long writer open for a minute; otherwise he ends when all that has to be seen was seen.
#
# Guards SettledPosition: the marks' holders are fixed when they are collected (refresh only takes away), a hole that comes up while a
# mark pends gets one of its own (judge), and publish(), which names who holds up the first. Seen to fail with one mark at a
# time (judge), and without reach_proof() before an event that follows H.
use strict;
use warnings;
use IPC::Run;
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('stall', 'readmodel.poll_interval = 200');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 3);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

my %writer;

# A session of that name draws a position and leaves its transaction open.
sub open_writer
{
    my ($name) = @_;
    $writer{$name} //= $node->background_psql('postgres', on_error_die => 1);
    $writer{$name}->query_safe('BEGIN');
    return $writer{$name}->query_safe(
        qq{INSERT INTO public.events (stream_id, type, data) VALUES ('$name', 'OrderPlaced', '{"amount": 1}') RETURNING position});
}

sub pid_of { my ($name) = @_; return $writer{$name}->query_safe('SELECT pg_backend_pid()') }

sub append { return append_order($node, 'postgres', 'other', 1) }

# A hole for good, and its position.
sub rolled_back
{
    return $node->safe_psql('postgres', q{BEGIN;
        INSERT INTO public.events (stream_id, type, data) VALUES ('nobody', 'OrderPlaced', '{"amount": 1}') RETURNING position;
        ROLLBACK});
}

sub source_is { my ($condition, $what) = @_; return wait_until($node, 'postgres', "$condition FROM readmodel.source_status()", $what) }

sub applied_to
{
    my ($position, $what) = @_;
    wait_until($node, 'postgres', "position = $position FROM readmodel.status()", $what);
    return equal_up_to($node, 'postgres', 'orders', $position, "$what: exactly those");
}

sub query_is { my ($condition, $what) = @_; return wait_until($node, 'postgres', "$condition FROM readmodel.status()", $what) }

# Returns when all that was drawn before is covered by a mark: a look-up that comes after the one more event is younger than that.
sub cover
{
    my ($what) = @_;
    my $lookups = $node->safe_psql('postgres', 'SELECT lock_lookups FROM readmodel.source_status()');
    append();
    return source_is("lock_lookups > $lookups", $what);
}

# --- a long writer
my $began = time;
my $hole = open_writer('long');
my $pid = pid_of('long');
my $before = $hole - 1;
append() foreach 1 .. 5;
source_is("pending_hole = $hole AND blocked_by = ARRAY[$pid] AND settled_position = $before", 'the hole and who may fill it are named');
applied_to($before, 'what came before the hole is applied, what came after is not');
query_is("status = 'ready' AND reason ~ '^writer\\M.*\\m$pid\\M'", 'the query stays ready, and the reason names the writer');
source_is("blocked_for >= '1 s' AND blocked_for <= clock_timestamp() - (SELECT xact_start FROM pg_stat_activity WHERE pid = $pid)",
    'source_status tells for how long');
query_is(q{reason ~ '[1-9][0-9]* s'}, 'and so does the reason');
is($node->safe_psql('postgres', q{SELECT state -> 'positions' IS NOT NULL FROM readmodel.orders WHERE id = 'customer 1'}), 't', 'it can be read');

# Rolled-back holes and other writers come and go meanwhile.
my $rounds = 0;
do
{
    rolled_back();
    append();
    $rounds++;
} while ($ENV{READMODEL_LONG} ? time - $began < 60 : $rounds < 20);
if ($ENV{READMODEL_LONG})
{
    source_is("blocked_for >= '58 s' AND blocked_by[1] = $pid", 'after a minute it is still he');
    query_is("status = 'ready'", 'and the query still ready');
}
applied_to($before, 'nothing after the hole is applied while he is open');
rolled_back();
append();
cover('the last hole was seen while only the long writer was open');

# --- a writer who comes later, and stays, does not prolong that
my $later = open_writer('later');
append();
$writer{long}->query_safe('COMMIT');
applied_to($later - 1, 'the long writer\'s commit lets all go that was seen while he was open, holes included');
my $later_pid = pid_of('later');
source_is("pending_hole = $later AND blocked_by = ARRAY[$later_pid]", 'now the later one is named');
is($node->safe_psql('postgres', 'SELECT readmodel.readiness(\'orders\')'), 'ready', 'still ready');

# --- one after another, overlapping, each rolled back: never a moment without a writer, and never a stall
my $current = 'later';
my $held_up = $later;
foreach my $round (1 .. 6)
{
    append();
    rolled_back();
    cover("round $round: the holes are covered by a mark");
    my $next = $round % 2 ? 'odd' : 'even';
    $held_up = open_writer($next);
    append();
    $writer{$current}->query_safe($round % 3 ? 'ROLLBACK' : 'COMMIT');
    applied_to($held_up - 1, "round $round: what lay before the next writer's hole is applied while he is open");
    $current = $next;
}

# --- a prepared transaction
$writer{$current}->query_safe(q{PREPARE TRANSACTION 'stall'});
append();
source_is("pending_hole = $held_up AND blocked_by = ARRAY[0]", 'a prepared transaction holds the source up, and is shown as 0');
query_is(q{status = 'ready' AND reason ~ '^writer'}, 'the query stays ready');
applied_to($held_up - 1, 'and nothing after it is applied');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'stall'});
states_equal_oracle($node, 'postgres', 'when it is rolled back, all is applied');
source_is('pending_hole IS NULL AND blocked_by IS NULL', 'nobody holds anything up');
applied_once($node, 'postgres', 'each event was applied once');

# --- 200 appends a second, many of which meet a conflict and lose the number that they have drawn
$node->safe_psql('postgres', q{
    CREATE PROCEDURE public.collide(seed int, seconds int) LANGUAGE plpgsql AS $$
    DECLARE
        due timestamptz := clock_timestamp();
        ends timestamptz := due + make_interval(secs => seconds);
        stream text;
        seen bigint;
    BEGIN
        PERFORM setseed(seed / 10.0);
        WHILE due < ends LOOP
            stream := 'busy ' || floor(random() * 3);
            SELECT coalesce(max(version), 0) INTO seen FROM public.events WHERE stream_id = stream;
            COMMIT;
            -- 25 a second each; what was read is often old by then.
            due := due + interval '40 ms';
            PERFORM pg_sleep(extract(epoch FROM due - clock_timestamp()));
            BEGIN
                IF random() < 0.5 THEN
                    PERFORM readmodel.append('public.events', stream, '[{"type": "OrderPlaced", "data": {"amount": 1}}]', seen);
                ELSE
                    INSERT INTO public.events (stream_id, version, type, data)
                    VALUES (stream, seen + 1, 'OrderPlaced', '{"amount": 1}');
                END IF;
            EXCEPTION WHEN unique_violation OR serialization_failure OR SQLSTATE 'RM010' THEN
                NULL;
            END;
            COMMIT;
        END LOOP;
    END $$});
my $seconds = $ENV{READMODEL_LONG} ? 60 : 8;
my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
my (@clients, @output);
foreach my $client (1 .. 8)
{
    push @output, '';
    push @clients, IPC::Run::start([ $node->installed_command('psql'), '-X', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p',
        $node->port, '-d', 'postgres', '-c', "CALL public.collide($client, $seconds)" ], '<', \undef, '>&', \$output[-1]);
}
my @lags;
while (my @busy = grep { $_->pumpable } @clients)
{
    push @lags, $node->safe_psql('postgres', 'SELECT lag FROM readmodel.status()');
    $_->pump_nb foreach @busy;
    sleep 0.05;    # between samples; nothing is waited for
}
foreach my $client (0 .. $#clients)
{
    ok($clients[$client]->finish, "client $client has no other error") or diag($output[$client]);
}
my $quarter = int(@lags / 4);
my $median = sub { my @sorted = sort { $a <=> $b } @_; return $sorted[ $#sorted / 2 ] };
my ($first, $last_one) = ($median->(@lags[0 .. $quarter - 1]), $median->(@lags[-$quarter .. -1]));
my ($worst) = sort { $b <=> $a } @lags;
my ($drawn, $came) = split /\|/, $node->safe_psql('postgres',
    "SELECT max(position) - $head, count(*) FROM public.events WHERE position > $head");
note("$drawn numbers, $came events; lag: first quarter $first, last quarter $last_one, worst $worst, ", scalar(@lags), ' samples');
cmp_ok($drawn, '>', 80 * $seconds, 'the load was as it should be');
cmp_ok($drawn - $came, '>', $drawn / 5, 'many numbers were lost to conflicts');
cmp_ok($last_one, '<=', 2 * $first + 20, 'the lag does not grow');
cmp_ok($worst, '<', 600, 'and was never more than three seconds\' worth');
states_equal_oracle($node, 'postgres', 'the states are the oracle\'s');
applied_once($node, 'postgres', 'each event was applied once');

$_->quit foreach values %writer;
$node->stop;
done_testing();
