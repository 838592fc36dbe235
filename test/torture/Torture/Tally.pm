# What came of the plan: read from the diaries. A run in which too little happened proves nothing, and fails.
package Torture::Tally;

use strict;
use warnings;
use File::Glob ':bsd_glob';    # a path may have blanks

sub new
{
    my ($class, $directory, $log) = @_;
    my $self = bless { count => {}, unexpected => [], notes => {} }, $class;
    open(my $told, '<', $log) or die "cannot read $log: $!";
    while (my $line = <$told>)
    {
        $self->{letters}{$1}++ if $line =~ /\] (?:pg_readmodel )?(tail|rebuild|client backend)\b.* passed over the event at position/;
        $self->{redefined}++ if $line =~ /the definition of query .* was changed: /;
    }
    foreach my $file (sort glob("$directory/*"))
    {
        my ($actor) = $file =~ m{([^/]+)$};
        open(my $diary, '<', $file) or die "cannot read $file: $!";
        while (my $line = <$diary>)
        {
            chomp $line;
            my ($time, $n, $op, $outcome, $detail) = split(/\t/, $line, 5);
            my ($word) = $outcome =~ /^(\S+)/;
            $self->{count}{$op}{$word}++;
            push @{ $self->{unexpected} }, "$actor, step $n, $op: $outcome, " . substr($detail, 0, 500) if $word eq 'unexpected';
            push @{ $self->{notes}{$op} }, [ $time, $word, $detail ];
            $self->{transactions}++ if $actor =~ /writer/ && $outcome ne 'lost';
            $self->{rollbacks}++ if $actor =~ /writer/ && ($outcome !~ /^(ok|lost)$/ || $detail =~ /^rolled back/);
            $self->{rollbacks}++ if $op eq 'finish_rollback' && $outcome eq 'ok';
            $self->{lost}++ if $outcome eq 'lost';
        }
    }
    return $self;
}

# How often steps whose name matches ended so.
sub times
{
    my ($self, $op, $outcome, $detail) = @_;
    my $sum = 0;
    foreach my $name (grep { /^($op)$/ } keys %{ $self->{notes} })
    {
        $sum += grep { $_->[1] =~ /^($outcome)$/ && (!defined $detail || $_->[2] =~ $detail) } @{ $self->{notes}{$name} };
    }
    return $sum;
}

# [what, how often, the least for 20 s]
sub coverage
{
    my ($self, $settings) = @_;
    my $deleted = 0;
    $_->[2] =~ /deleted (\d+)/ and $deleted += $1 foreach @{ $self->{notes}{delete} // [] };
    return (
        [ 'transactions of writers', $self->{transactions} // 0, 500 ],
        [ 'of them rolled back', $self->{rollbacks} // 0, 50 ],
        [ 'COPY', $self->times('copy', 'ok'), 20 ],
        [ 'append()', $self->times('append', 'ok'), 10 ],
        [ 'version conflicts (RM010)', $self->times('append|append_conflict', 'RM010'), 20 ],
        [ 'unique violations', $self->times('.*', '23505'), 20 ],
        [ 'savepoints rolled back', $self->times('savepoint|subtransactions', 'ok'), 20 ],
        [ 'prepared, then committed', $self->times('finish_commit', 'ok'), 8 ],
        [ 'prepared, then rolled back', $self->times('finish_rollback', 'ok'), 5 ],
        [ 'prepared before a restart', $self->times('finish_.*', 'ok', qr/after a restart/), 0 ],
        [ 'positions drawn early', $self->times('early', 'ok'), 20 ], # most of them: a guard that refuses them all would show
        [ 'positions given by hand', $self->times('explicit', 'ok'), 5 ],
        [ 'refused, since too late (RM011)', $self->times('explicit', 'RM011'), 10 ],
        [ 'session_replication_role = replica', $self->times('replica', 'ok'), 10 ],
        [ 'inserts into partitions', $self->times('direct', 'ok'), 10 ],
        [ 'transactions open for seconds', $self->times('long', 'ok'), 1 ], # whom no restart met,
        [ 'events deleted', $deleted, 20 ],
        [ 'connections lost', $self->{lost} // 0, 8 ],
        [ 'definitions', $self->times('define', 'ok'), 6 ],
        [ 'queries dropped', $self->times('drop', 'ok'), 1 ],
        [ 'rebuilds', $self->times('rebuild', 'ok'), 1 ],
        [ 'generations activated', $self->times('activate', 'ok'), 1 ],
        [ 'pauses', $self->times('pause', 'ok'), 2 ],
        [ 'catch_up', $self->times('catch_up', 'ok'), 3 ],
        [ 'updaters replaced under their queries', $self->times('replace_body', 'ok') + $self->times('mend', 'ok', qr/^replaced/), 4 ],
        [ 'definitions that were noticed by themselves', $self->{redefined} // 0, 4 ],
        [ 'generations approved or rejected', $self->times('approve|reject', 'ok', qr/^done/), 1 ],
        [ 'dead letters of the tail', $self->{letters}{tail} // 0, 100 ],
        [ 'dead letters of rebuilds', $self->{letters}{rebuild} // 0, 20 ],
        [ 'dead letters of catch_up', $self->{letters}{'client backend'} // 0, 1 ],
        [ 'dead letters retried in vain', $self->times('retry_letters|retry_letter', 'ok', qr/applied 0 of [1-9]/), 1 ],
        [ 'corrections that were applied', $self->times('correct', 'ok', qr/applied [1-9]/), 2 ],
        [ 'dead letters discarded', $self->times('discard_letter', 'ok', qr/^done/), 1 ],
        [ 'failed queries that went on without the event', $self->times('mend', 'ok', qr/^deleted/), 2 ],
        [ '.. or with another updater', $self->times('mend', 'ok', qr/^replaced/), 1 ],
        [ 'instances folded afresh', $self->times('rebuild_instance|refold', 'ok', qr/^done/), 3 ],
        [ 'verify()', $self->times('verify', 'ok'), 1 ],
        [ 'event tables rewritten', $self->times('rewrite|vacuum', 'ok'), 4 ],
        [ 'partitions added', $self->times('add_partition', 'ok'), 0 ],
        [ 'workers killed', $self->times('kill_.*', 'ok'), 1 ],
        [ 'workers terminated', $self->times('term_.*', 'ok'), 2 ],
        [ 'backends terminated', $self->times('terminate_backend', 'ok'), 2 ],
        [ 'fast restarts', $self->times('restart_fast', 'ok'), 1 ],
        [ 'immediate restarts', $self->times('restart_immediate', 'ok'), 1 ],
        [ 'settings reloaded', $self->times('reload', 'ok'), 3 ],
        [ 'comparisons during the run', $self->times('compare', 'ok', qr/generation/), 60 ],
        [ 'of them of ready queries', $self->times('compare', 'ok', qr/^ready: /), 15 ],
        [ 'of them with events', $self->times('compare', 'ok', qr/[1-9]\d* instances/), 40 ],
        [ 'of them with dead letters', $self->times('compare', 'ok', qr/letters/), 20 ],
        [ 'answers of get()', $self->times('get', 'ok'), 10 ],
        [ 'looks at all positions', $self->times('positions', 'ok'), 80 ],
        [ 'of them with a rebuild that was split', $self->times('positions', 'ok', qr/split [1-9]/),
            $settings->{'readmodel.max_rebuild_workers'} > 1 ? 1 : 0 ],
        [ '.. with a generation that had failed', $self->times('positions', 'ok', qr/failed [1-9]/), 20 ],
        [ '.. with one whose updater was replaced', $self->times('positions', 'ok', qr/frozen [1-9]/), 20 ],
        [ '.. with one that waited for approval', $self->times('positions', 'ok', qr/gated [1-9]/), 1 ],
    );
}

sub median
{
    my @sorted = sort { $a <=> $b } @_;
    return @sorted ? $sorted[ @sorted / 2 ] : undef;
}

# Lag, and what the batches cost. The counters begin anew with every worker.
sub figures
{
    my ($self, $start, $seconds) = @_;
    my (@quarter, %sum, @last);
    foreach my $sample (@{ $self->{notes}{sample} // [] })
    {
        my ($time, $outcome, $detail) = @$sample;
        next if $outcome ne 'ok';
        my ($lags, @counts) = split(/;/, $detail);
        my $at = int(4 * ($time - $start) / $seconds);
        push @{ $quarter[ $at > 3 ? 3 : $at ] }, split(/ /, $lags);
        foreach my $i (0 .. 2)
        {
            my $more = $counts[$i] - ($last[$i] // 0);
            $sum{$i} += $more < 0 ? $counts[$i] : $more;
        }
        @last = @counts;
    }
    my ($first, $final) = (median(@{ $quarter[0] // [] }), median(@{ $quarter[3] // [] }));
    return sprintf('median lag of ready queries in the first quarter %s, in the last %s events; %d batches, %d events read, '
          . '%d lock look-ups (%.2f a batch)',
        $first // '-', $final // '-', $sum{0} // 0, $sum{2} // 0, $sum{1} // 0, ($sum{1} // 0) / (($sum{0} // 0) || 1));
}

1;
