# The differential test; run.sh gives it a server. Random specs fold random logs, in the extension and in an independent interpreter
# of the spec language (compile.sql, interpreter.sql), and every state and position has to be the same, byte for byte.
#
#   Differential::Generator  logs and specs, decided by a seed        Differential::Round   a log, some specs, and a way to the end
#   Differential::Cases      the rules, case by case                  Differential::Shrink  makes a difference small
#   Differential::Mutations  specs that have to be refused    Differential::Server  the connection, settings, restarts
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;
use Differential::Cases;
use Differential::Mutations;
use Differential::Round;
use Differential::Server;
use Differential::Shrink;
use Time::HiRes qw(time);

$SIG{__WARN__} = sub { print STDERR @_ if "@_" !~ /^Unicode non-character/ };
binmode(STDOUT, ':utf8');
STDOUT->autoflush(1);

my ($rounds, $first_seed, $only) = @ENV{qw(DIFFERENTIAL_ROUNDS DIFFERENTIAL_SEED DIFFERENTIAL_ONLY)};
my $specs_per_log = 16;

my $server = Differential::Server->new;
my %tally = (pairs => 0, failing => 0, outgrown => 0, events => 0, instances => 0);
my %seconds;
my $differences = 0;
my $shown = 0;

# A seed decides everything, also the way. Those without workers come first: to start and stop them takes time.
sub way_of
{
    my ($seed) = @_;
    return 'restart' if $seed % 40 == 7;
    return (qw(catch_up pieces catch_up pieces rebuild catch_up pieces tail))[$seed % 8];
}

sub needs_workers { my ($seed) = @_; return way_of($seed) !~ /^(catch_up|pieces)$/ ? 1 : 0 }

sub show
{
    my ($round, $query) = @_;
    print "DIFFERENCE in $query->{name} of SEED=$round->{seed} ($round->{way}, batches of @{ $round->{batches} }):\n$query->{difference}";
    if ($query->{refused})
    {
        print "spec: $query->{spec}\n";
        return;
    }
    my ($spec, $rows, $difference) = Differential::Shrink::shrink($round, $query, 60);
    print "smaller:\nspec:   $spec\nevents: (type, stream_id, data, metadata, occurred_at)\n", map { "    $_\n" } @$rows;
    print $difference;
    return;
}

sub run_round
{
    my ($seed) = @_;
    my $begin = time;
    my $round = Differential::Round->new(server => $server, seed => $seed, way => way_of($seed), count => $specs_per_log);
    my @differ = eval { $round->run };
    if (my $error = $@)
    {
        print "FAILED: SEED=$seed ($round->{way}): $error";
        $differences++;
        # The next one finds nothing in its way.
        $server->reconnect;
        eval { $round->end; 1 } or print "FAILED: SEED=$seed leaves its log: $@";
        return;
    }
    $tally{pairs} += @{ $round->{specs} };
    $tally{failing} += grep { $_->{fails} } @{ $round->{queries} };
    $tally{outgrown} += grep { $_->{outgrown} } @{ $round->{queries} };
    $tally{events} += @{ $round->{specs} } * @{ $round->{rows} };
    $tally{instances} += $server->dbh->selectrow_array('SELECT count(*) FROM differential.expected WHERE id IS NOT NULL');
    $round->end;
    $seconds{ $round->{way} } += time - $begin;
    foreach my $query (@differ)
    {
        $differences++;
        show($round, $query) if $shown++ < 3;
    }
    return;
}

my $begin = time;
my @seeds = length $only ? ($only) : ($first_seed .. $first_seed + $rounds - 1);
print "differential test: ", scalar @seeds, " logs from SEED=$seeds[0], $specs_per_log specs each\n";
$server->dbh->do('CREATE EXTENSION pg_readmodel');
$server->dbh->do('CREATE SCHEMA differential CREATE TABLE expected (query text, id text COLLATE "C", state jsonb, position bigint)');
if (!length $only)
{
    $differences += Differential::Cases::run($server);
    $differences += Differential::Mutations::run($server, $first_seed, 10 * $rounds);
}
foreach my $workers (0, 1)
{
    my @these = grep { needs_workers($_) == $workers } @seeds;
    next if !@these;
    $server->set('readmodel.enabled' => 'on') if $workers;
    foreach my $seed (@these)
    {
        last if $differences > ($ENV{MAXDIFF} // 3);
        run_round($seed);
    }
}
printf "%d specs folded %d events into %d instances, %d of them up to an error, %d too large to compare: %.0f s\n",
    @tally{qw(pairs events instances failing outgrown)}, time - $begin;
print join(', ', map { sprintf('%s %.0f s', $_, $seconds{$_}) } sort keys %seconds), "\n";
# A generator that makes nothing would find nothing.
if (!$differences && @seeds > 20 && ($tally{instances} < $tally{pairs} || $tally{failing} < 0.03 * $tally{pairs}
        || $tally{failing} > 0.3 * $tally{pairs} || $tally{outgrown} > 0.02 * $tally{pairs}))
{
    print "FAILED: too few instances, too few or too many errors, or too much that is not compared\n";
    exit 1;
}
print "FAILED: $differences differences\n" if $differences;
exit($differences ? 1 : 0);
