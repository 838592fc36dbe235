# A query that has failed at an event follows an updater that is replaced, by itself; and nothing else lets it go on without being told.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('failed_then_replaced');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 30);

# Counts the events of a stream, and refuses those above a limit.
sub updater
{
    my ($name, $limit, $step) = @_;
    return qq{
        CREATE OR REPLACE FUNCTION public.$name(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
        BEGIN
            IF (event ->> 'position')::bigint > $limit THEN RAISE EXCEPTION 'above $limit'; END IF;
            RETURN jsonb_build_object('steps', coalesce((state ->> 'steps')::integer, 0) + $step);
        END \$\$};
}

sub define
{
    my ($query, $options) = @_;
    return $node->safe_psql('postgres',
        "SELECT readmodel.define_query('$query', 'shop', 'public.$query(jsonb, jsonb)', key => 'stream', options => '@{[ $options // '{}' ]}')");
}

sub becomes
{
    my ($query, $condition, $what) = @_;
    wait_until($node, 'postgres', "(SELECT $condition FROM readmodel.status() WHERE name = '$query')", $what);
}

sub steps { my ($query) = @_; return $node->safe_psql('postgres', qq{SELECT sum((state ->> 'steps')::integer) FROM readmodel."$query"}) }

# In the order of the log for a live one; while it is rebuilt for the other.
$node->safe_psql('postgres', updater($_, 40, 1)) foreach qw(live other cancelled);
define('live', '{"keep_generations": 3}');
define('other');
becomes('live', q{status = 'ready'}, 'the query is ready');
becomes('other', q{status = 'ready'}, 'so is the other');
append_orders($node, 'postgres', 20);
becomes('live', q{status = 'failed' AND error_position = 41 AND generation = 1}, 'it fails while it is live');
becomes('other', q{status = 'failed' AND error_position = 41}, 'and the other');

# Functions change all the time; whose updater did not stays where it is. The worker has looked, since it follows the one that has.
$node->safe_psql('postgres', updater('live', 1000, 2));
becomes('live', q{status = 'ready' AND generation = 2}, 'it follows the updater that replaces the one it failed with');
is(steps('live'), 100, 'from the start, with all events');
is($node->safe_psql('postgres', q{SELECT status, reason, error_position, generation FROM readmodel.status() WHERE name = 'other'}),
    'failed|updater_error: SQLSTATE P0001 at position 41|41|1', 'the one whose updater is the same has still failed, and says why');
is($node->safe_psql('postgres', q{SELECT string_agg(generation || ' ' || status, ', ' ORDER BY generation) FROM readmodel.generations('live')}),
    '1 failed, 2 ready', 'the older generation stays failed');

# Put back: that generation goes on where it stood, fails there again, and says why.
$node->safe_psql('postgres', updater('live', 40, 1));
becomes('live', q{status = 'failed' AND generation = 1 AND error_position = 41 AND reason LIKE 'updater_error%'},
    'put back as it was, the older generation is the newest again and fails where it had');
$node->safe_psql('postgres', updater('live', 1000, 2));
becomes('live', q{status = 'ready' AND generation = 2}, 'and replaced again, the one that was built is ready at once');
is(steps('live'), 100, 'with its states');

# In the middle of a rebuild.
$node->safe_psql('postgres', updater('live', 45, 3));
becomes('live', q{status = 'failed' AND generation = 3 AND error_position = 46 AND serving_generation = 2}, 'a rebuild fails');
# The serving one, whose updater is gone, cannot be corrected and has lost events then. That does not keep the newest from being retried.
my $messages;
$node->psql('postgres', q{SELECT readmodel.rebuild_instance('live', (SELECT min(stream_id) FROM public.events))}, stderr => \$messages);
is($node->safe_psql('postgres', q{SELECT string_agg(g.generation || ' ' || f.reason, ', ' ORDER BY g.generation)
    FROM readmodel_catalog.failure f JOIN readmodel_catalog.generation g USING (generation_id) JOIN readmodel_catalog.query q USING (query_id)
    WHERE q.name = 'live'}), '1 late_event, 2 late_event, 3 updater_error', 'an instance is folded afresh, where that is possible');
$node->psql('postgres', q{SELECT readmodel.retry('live')}, stderr => \$messages);
like($messages, qr/NOTICE:  query "live" is tried again where it failed/, 'retry lets the newest one go on');
becomes('live', q{status = 'failed' AND generation = 3 AND error_position = 46}, 'which fails there again');
$node->safe_psql('postgres', updater('live', 1000, 4));
becomes('live', q{status = 'ready' AND generation = 4}, 'and is followed by one with what replaces its updater');
is(steps('live'), 200, 'from the start again');

# Where a change waits for approval, this one does too.
define('live', '{"on_change": "gate", "keep_generations": 3}');
append_orders($node, 'postgres', 5);
becomes('live', q{status = 'ready' AND lag = 0}, 'more events are taken');
$node->safe_psql('postgres', updater('live', 55, 4));
becomes('live', q{status = 'gated' AND generation = 5}, 'a replaced updater waits at the gate');
$node->safe_psql('postgres', q{SELECT readmodel.approve('live')});
append_orders($node, 'postgres', 5);
becomes('live', q{status = 'failed' AND generation = 5}, 'the approved one fails');
$node->safe_psql('postgres', updater('live', 1000, 5));
becomes('live', q{status = 'gated' AND generation = 6}, 'and what replaces its updater waits at the gate in turn');

# One that is no updater any more cannot be followed, and the status says why.
$node->safe_psql('postgres', updater('strict', 1000, 1));
define('strict');
becomes('strict', q{status = 'ready'}, 'one more query is ready');
$node->safe_psql('postgres', updater('strict', 1000, 2) =~ s/LANGUAGE plpgsql/LANGUAGE plpgsql STRICT/r);
becomes('strict', q{status = 'failed' AND error_message LIKE '%cannot be followed: %cannot be an updater%DETAIL:  %STRICT%'},
    'its updater is replaced by one that is STRICT: the status says that');
$node->safe_psql('postgres', updater('strict', 1000, 1));
becomes('strict', q{status = 'ready' AND generation = 1}, 'and put back it goes on');

# What was left half built when an updater was put back can go on where it stands, but not all that ever was.
sub half_built
{
    my ($limit, $generation) = @_;
    $node->safe_psql('postgres', updater('half', $limit, 2));
    becomes('half', "status = 'failed' AND generation = $generation AND serving_generation = 1", "generation $generation stops half built");
}
sub put_back
{
    $node->safe_psql('postgres', updater('half', 1000, 1));
    becomes('half', q{status = 'ready' AND generation = 1}, 'its updater is put back');
}
my $kept = q{string_agg(generation::text, ' ' ORDER BY generation) FROM readmodel.generations('half')};
$node->safe_psql('postgres', updater('half', 1000, 1));
define('half');
becomes('half', q{status = 'ready'}, 'another query is ready');
half_built(10, 2);
put_back();
half_built(20, 3);
put_back();
wait_until($node, 'postgres', "(SELECT $kept) = '1 3'", 'the last of those that are half built is kept');
half_built(20, 3);
put_back();
half_built(10, 4);
is($node->safe_psql('postgres', "SELECT $kept"), '1 3 4', 'the one that was dropped is built again');
put_back();
wait_until($node, 'postgres', "(SELECT $kept) = '1 4'", '.. and kept in turn');
define('half', '{"keep_generations": 0}');
wait_until($node, 'postgres', "(SELECT $kept) = '1'", 'with keep_generations at 0 none is');

# A first rebuild that an operator has cancelled stays cancelled.
$node->safe_psql('postgres', q{BEGIN; SELECT readmodel.define_query('cancelled', 'shop', 'public.cancelled(jsonb, jsonb)', key => 'stream');
    SELECT readmodel.cancel_rebuild('cancelled'); COMMIT});
becomes('cancelled', q{status = 'failed' AND reason LIKE 'operator%'}, 'a first rebuild is cancelled');
$node->safe_psql('postgres', updater('cancelled', 1000, 1));
$node->safe_psql('postgres', updater('other', 1000, 1));
becomes('other', q{generation = 2}, 'another query follows its updater');
is($node->safe_psql('postgres', q{SELECT status || ' ' || generation FROM readmodel.status() WHERE name = 'cancelled'}),
    'failed 1', 'the cancelled one does not');
$node->safe_psql('postgres', q{SELECT readmodel.retry('cancelled')});
becomes('cancelled', q{status = 'ready' AND generation = 2}, 'until it is told to, and then as what it is now');

$node->stop;
done_testing();
