# All that a run will do, decided before it begins: a list of steps for every actor, each with the time, in ms from the start, before
# which it is not to begin. Who is late goes on at once, and the end of the time cuts the lists off.
package Torture::Plan;

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Torture::Queries;
use Torture::Random;
use Torture::Tables;

my $json = JSON::PP->new->canonical;

my $writers = 8;
my $block_ms = 20_000;    # in each block of this length every disturbance comes at least once

sub new
{
    my ($class, $seed, $seconds) = @_;
    my $self = bless { seed => $seed, seconds => $seconds, ms => 1000 * $seconds, actors => {} }, $class;
    $self->{slots} = int(6 * $self->{ms} / 100);
    $self->{settings} = $self->base_settings;
    $self->writer($_) foreach map { "writer $_" } 1 .. $writers;
    $self->long_writer($_) foreach map { "long writer $_" } 1 .. 3;
    $self->definitions;
    $self->operator;
    $self->mender;
    $self->housekeeper;
    $self->server;
    $self->watcher($_) foreach 'watcher 1', 'watcher 2';
    return $self;
}

sub actors { my ($self) = @_; return sort keys %{ $self->{actors} } }
sub steps { my ($self, $actor) = @_; return @{ $self->{actors}{$actor} } }

sub rows
{
    my ($self, $actor, $step, $count) = @_;
    return Torture::Tables::rows_of($self->{seed}, $actor, $step, $count, $self->{slots});
}

sub text
{
    my ($self) = @_;
    my $text = 'settings ' . $json->encode($self->{settings}) . "\n";
    foreach my $actor ($self->actors)
    {
        my $n = 0;
        $text .= sprintf("%s\t%d\t%s\n", $actor, $n++, $json->encode($_)) foreach $self->steps($actor);
    }
    return $text;
}

sub digest
{
    my ($self) = @_;
    return substr(sha256_hex($self->text), 0, 16);
}

sub add
{
    my ($self, $actor, $at, $op, %arguments) = @_;
    push @{ $self->{actors}{$actor} }, { at => $at, op => $op, %arguments };
    return;
}

sub random
{
    my ($self, $actor) = @_;
    return Torture::Random->new($self->{seed}, $actor);
}

# What stays as it is for the whole run.
sub base_settings
{
    my ($self) = @_;
    my $random = $self->random('settings');
    return {
        'readmodel.synchronous_commit' => $random->pick('on', 'off'),
        'readmodel.max_rebuild_workers' => $random->between(1, 3),
        'autovacuum_naptime' => '1s',
    };
}

# What a reload changes. Small, so that pages, flushes and the cache have edges everywhere.
sub varied_settings
{
    my ($random) = @_;
    return {
        'readmodel.batch_size' => $random->pick(1, 2, 7, 50, 300, 1000),
        'readmodel.flush_interval' => $random->pick(10, 30, 100, 500),
        'readmodel.state_cache' => $random->pick('1MB', '1MB', '64MB'),
        'readmodel.poll_interval' => $random->pick(10, 100, 1000),
        'readmodel.batch_delay' => $random->pick(0, 10, 50),
        'readmodel.rebuild_rate_limit' => $random->pick(0, 0, 3000),
        'readmodel.lock_timeout' => $random->pick(20, 1000),
        'readmodel.log_progress' => $random->pick('on', 'off'),
        'synchronous_commit' => $random->pick('on', 'on', 'off'),
    };
}

sub writer
{
    my ($self, $actor) = @_;
    my $random = $self->random($actor);
    for (my $at = $random->between(0, 100); $at < $self->{ms}; $at += $random->wait(45))
    {
        my $op = $random->weighted(
            insert => 20, multi => 11, copy => 8, append => 10, append_conflict => 6, rollback => 11, savepoint => 7,
            subtransactions => 4, prepare => 7, early => 8, replica => 4, direct => 5, delete => 4, duplicate => 9,
            on_conflict => 3, two_tables => 4, explicit => 9);
        my $kind = $random->pick(Torture::Tables::names());
        my %more;
        $more{count} = $op eq 'insert' ? 1 : $op eq 'copy' ? $random->between(1, 60) : $random->between(1, 12);
        if ($op eq 'append' || $op eq 'append_conflict')
        {
            $kind = 'builtin';
            %more = (count => $random->between(1, 4), stream => 'a' . $random->below(12), wait => $random->wait(10),
                expect => $random->pick('any', 'read', 'read', 'new'));
        }
        elsif ($op eq 'prepare')
        {
            $more{commit} = $random->chance(60) ? 'commit' : 'rollback';
            $more{delay} = $random->chance(15) ? $random->between(1000, 4000) : $random->between(20, 400);
        }
        elsif ($op eq 'early')
        {
            $more{draw} = $more{count} + $random->below(4);
            $more{wait} = $random->wait(60);
            $more{order} = $random->pick('backward', 'forward');
            $more{commit} = $random->chance(80) ? 'commit' : 'rollback';
        }
        elsif ($op eq 'rollback' || $op eq 'savepoint' || $op eq 'subtransactions')
        {
            $more{wait} = $random->chance(30) ? $random->wait(30) : 0;
            $more{commit} = $random->chance(85) ? 'commit' : 'rollback' if $op ne 'rollback';
        }
        elsif ($op eq 'explicit')
        {
            $kind = 'guarded';
            %more = (count => $random->between(1, 4), from => $random->pick(qw(above at below hole drawn_before)), by => $random->below(12),
                wait => $random->chance(30) ? $random->wait(60) : 0, commit => $random->chance(85) ? 'commit' : 'rollback');
        }
        elsif ($op eq 'direct') { $kind = 'parted' }
        elsif ($op eq 'duplicate' || $op eq 'on_conflict')
        {
            $kind = 'unique';
            $more{count} = $random->between(1, 6);
        }
        elsif ($op eq 'two_tables')
        {
            $more{second} = $random->pick(grep { $_ ne $kind } Torture::Tables::names());
        }
        elsif ($op eq 'delete') { $more{share} = $random->between(5, 60) }
        $self->add($actor, $at, $op, table => $kind, %more);
    }
    return;
}

# Transactions that stay open for seconds.
sub long_writer
{
    my ($self, $actor) = @_;
    my $random = $self->random($actor);
    for (my $at = $random->between(0, 3000); $at < $self->{ms} - 1000;)
    {
        my $wait = $random->between(600, 3500);
        # A slot that is taken would end it early.
        $self->add($actor, $at, 'long', table => $random->pick(grep { $_ ne 'unique' } Torture::Tables::names()),
            count => $random->between(2, 6), wait => $wait,
            draw => $random->between(0, 3), commit => $random->chance(70) ? 'commit' : 'rollback');
        $at += $wait + $random->between(300, 4000);
    }
    return;
}

sub definition
{
    my ($random, $template, $code) = @_;
    return { template => $template, key => $random->pick(Torture::Queries::keys_of($template)), code => $code };
}

# Queries come, change and go. Codes count up, so that none comes back and each is a new definition.
sub definitions
{
    my ($self) = @_;
    my $actor = 'definitions';
    my $random = $self->random($actor);
    my $code = 1;
    foreach my $kind (Torture::Tables::names())
    {
        foreach my $template (@Torture::Queries::templates)
        {
            push @{ $self->{first} }, [ Torture::Queries::name_of($template, $kind), $kind,
                { template => $template, key => 'A', code => $code } ];
        }
    }
    my (@deck, %guests, %bodies);
    for (my $at = $random->between(200, 800); $at < $self->{ms} - 800; $at += $random->wait(600))
    {
        my $kind = $random->pick(Torture::Tables::names());
        @deck = $random->shuffle(('redefine') x 4, ('gate') x 2, ('replace') x 2, ('replace_body') x 4, ('come') x 3, ('drop') x 3) if !@deck;
        my $op = shift @deck;
        my $options = { while_rebuilding => $random->pick('unavailable', 'serve_previous'), keep_generations => $random->pick(0, 1, 3, 100, 100),
            parallel => $random->pick(1, 2, 3) };
        $code++;
        if ($op eq 'redefine' || $op eq 'gate')
        {
            my $template = $random->pick(qw(sum list fan), $op eq 'gate' ? () : qw(picky strict));
            $options->{on_change} = 'gate' if $op eq 'gate';
            $self->add($actor, $at, 'define', table => $kind, query => Torture::Queries::name_of($template, $kind),
                definition => definition($random, $template, $code), options => $options);
        }
        elsif ($op eq 'replace_body')
        {
            my $template = $random->pick(qw(picky strict));
            my $query = Torture::Queries::name_of($template, $kind);
            # Now and then the body of before is put back.
            my $before = $bodies{$query} // 1;
            $bodies{$query} = $random->chance(20) ? $before : $code;
            $self->add($actor, $at, 'replace_body', table => $kind, query => $query,
                definition => { template => $template, key => 'A', code => $bodies{$query} });
        }
        elsif ($op eq 'replace')
        {
            $self->add($actor, $at, 'define', table => $kind, query => Torture::Queries::name_of('recent', $kind), replace => 1,
                definition => { template => 'recent', key => 'A', code => $code }, options => $options);
        }
        elsif ($op eq 'come')
        {
            my $template = $random->pick(qw(sum list fan));
            my $query = 'guest ' . $random->below(2) . " $kind";
            $guests{$query} = 1;
            $self->add($actor, $at, 'define', table => $kind, query => $query,
                definition => definition($random, $template, $code), options => $options);
        }
        else
        {
            # A guest who is there, where there is one and mostly; a resident comes back at once.
            my $guest = %guests && $random->chance(60) ? $random->pick(sort keys %guests) : undef;
            my $template = $random->pick(@Torture::Queries::templates);
            my $query = $guest // Torture::Queries::name_of($template, $kind);
            delete $guests{$guest} if $guest;
            $self->add($actor, $at, 'drop', query => $query,
                $guest ? () : (then => { table => $kind, definition => { template => $template, key => 'A', code => $code } }));
        }
    }
    return;
}

# What an operator does to the queries that are there.
sub operator
{
    my ($self) = @_;
    my $actor = 'operator';
    my $random = $self->random($actor);
    my @deck;
    for (my $at = $random->between(300, 900); $at < $self->{ms} - 300; $at += $random->wait(500))
    {
        my $kind = $random->pick(Torture::Tables::names());
        my $query = $random->chance(80) ? Torture::Queries::name_of($random->pick(@Torture::Queries::templates), $kind)
          : 'guest ' . $random->below(2) . " $kind";
        @deck = $random->shuffle(('catch_up') x 7, ('rebuild') x 4, 'retry', ('pause') x 4, ('activate') x 4, 'cancel_rebuild',
            ('verify') x 5, ('rebuild_instance') x 4) if !@deck;
        my $op = shift @deck;
        # What they would go back to has lost its updater, when they are cancelled.
        $op = 'activate' if $op eq 'cancel_rebuild' && $query =~ /^(recent|picky|strict)/;
        my %more = $op eq 'pause' ? (wait => $random->wait(500)) : $op eq 'activate' ? (pick => $random->between(0, 9))
          : $op eq 'verify' ? (sample => $random->pick(undef, 1, 10)) : $op eq 'rebuild_instance' ? (pick => $random->below(1000)) : ();
        $self->add($actor, $at, $op, table => $kind, query => $query, %more);
    }
    return;
}

# What an operator does about failures, dead letters and decisions that are awaited. What there is then is chosen by "pick".
sub mender
{
    my ($self) = @_;
    my $actor = 'mender';
    my $random = $self->random($actor);
    my $code = 100_000;
    my @deck;
    for (my $at = $random->between(500, 1000); $at < $self->{ms} - 300; $at += $random->wait(180))
    {
        my $kind = $random->pick(Torture::Tables::names());
        @deck = $random->shuffle(('mend') x 8, ('retry_letters') x 3, ('retry_letter') x 3, ('discard_letter') x 3, ('correct') x 7,
            ('refold') x 3, 'build_here', ('approve') x 2, 'reject') if !@deck;
        my $op = shift @deck;
        $self->add($actor, $at, $op, table => $kind, query => Torture::Queries::name_of('picky', $kind), pick => $random->below(1000),
            $op eq 'mend' ? (code => ++$code) : $op eq 'correct' ? (count => $random->between(1, 6)) : ());
    }
    return;
}

# What is done to the event tables.
sub housekeeper
{
    my ($self) = @_;
    my $actor = 'housekeeper';
    my $random = $self->random($actor);
    for (my $at = $random->between(300, 600); $at < $self->{ms} - 300; $at += $random->wait(350))
    {
        my $op = $random->weighted(rewrite => 60, vacuum => 20, add_partition => 20);
        my %more = $op eq 'add_partition' ? (count => $random->between(1, 20)) : $op eq 'rewrite' ? (wait => $random->between(0, 40)) : ();
        $self->add($actor, $at, $op, table => $random->pick(Torture::Tables::names()), %more);
    }
    return;
}

# The server is stopped four times in a block of 20 s, at times far enough apart; lesser things happen all the time.
sub server
{
    my ($self) = @_;
    my $actor = 'server';
    my $random = $self->random($actor);
    my @steps;
    for (my $from = 0; $from < $self->{ms}; $from += $block_ms)
    {
        my $length = $self->{ms} - $from < $block_ms ? $self->{ms} - $from : $block_ms;
        my @outages = $random->shuffle(qw(restart_fast restart_immediate kill_tail), $random->pick(qw(kill_rebuild kill_launcher kill_tail)));
        # A last piece that is shorter has fewer.
        splice(@outages, int(4 * $length / $block_ms + 0.5));
        foreach my $i (0 .. $#outages)
        {
            my $share = $length / @outages;
            push @steps, { at => int($from + ($i + 0.35) * $share) + $random->between(-500, 800), op => $outages[$i] };
        }
        foreach my $op (qw(term_tail term_tail term_rebuild terminate_backend terminate_backend terminate_backend freeze_tail
            term_launcher reload reload reload reload reload))
        {
            next if !$random->chance(100 * $length / $block_ms);
            push @steps, { at => $from + $random->below($length), op => $op };
        }
    }
    foreach my $step (@steps)
    {
        $step->{settings} = varied_settings($random) if $step->{op} =~ /^(reload|restart)/;
        $step->{victim} = $random->below(1000) if $step->{op} eq 'terminate_backend';
        $step->{wait} = $random->between(50, 700) if $step->{op} eq 'freeze_tail';
        $step->{at} = 300 if $step->{at} < 300;
    }
    $self->{actors}{$actor} = [ { at => 0, op => 'reload', settings => varied_settings($random) }, sort { $a->{at} <=> $b->{at} } @steps ];
    return;
}

# Which of the generations that there are at that time.
sub watcher
{
    my ($self, $actor) = @_;
    my $random = $self->random($actor);
    for (my $at = $random->between(0, 200); $at < $self->{ms}; $at += $random->wait(60))
    {
        $self->add($actor, $at, 'compare', which => $random->below(10_000), through => $random->pick(qw(table view)));
    }
    return;
}

1;
