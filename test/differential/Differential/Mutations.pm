# Specs with one thing wrong in them, or perhaps nothing: the extension and the interpreter have to refuse the same ones, at the same
# place.
package Differential::Mutations;

use strict;
use warnings;
use utf8;
use Differential::Generator;
use Differential::Random;
use JSON::PP;

my $json = JSON::PP->new->canonical->allow_nonref;

my @wrong = (undef, JSON::PP::true, JSON::PP::false, 0, 7, -1, 1.5, '', 'x', '$', '$$', '$x', '$.', '$.a', '$.a[', '$.a[*]', '$.a b', '$.a[-1]', '$."a',
    '$."a\\u00"', '$.1', '$a.b', '$event', '$event.foo', '$event.type', '$item', '$item.a', '$state', '$state.a', '$.a.b[1]."c d"', 'delete', 'a.b', 'a[$.b]',
    'a[$.b', 'a[0]', '[]', {}, [], [[]], { a => 1 }, { where => { a => 1 } }, { each => '$.a', key => '$item' }, { alias => '$.a' }, [{ exists => '$.a' }],
    { exists => '$.a' }, { set => { a => 1 } });
my @names = (qw(set add min max append upsert remove keep delete default merge unset when key alias on each where eq in and not exists),
    'ad', 'Set', '', 'a b', 'a..b', '.a', 'a.', 'a[$.b]', 'a[b]', 'a[$.b[*]]', '[$.a].b', '"a b".c', '"a', 'é', '1a');

# Every object and list, with the pointer to it.
sub containers
{
    my ($node, $pointer) = @_;
    return () if !ref $node || JSON::PP::is_bool($node);
    return ([$node, $pointer], map { containers($node->{$_}, "$pointer/$_") } sort keys %$node) if ref $node eq 'HASH';
    return ([$node, $pointer], map { containers($node->[$_], "$pointer/$_") } 0 .. $#$node);
}

# A spec, and whether the change may have made several things wrong at once, so that any of them may be told: "any"; of these one
# lies within the other: "within".
sub mutated
{
    my $spec = $json->decode(Differential::Generator::spec());
    my ($node, $pointer) = @{ pick(containers($spec, '')) };
    my $wrong = $wrong[rand @wrong];
    my ($at, $several);
    if (ref $node eq 'HASH')
    {
        $at = pick(sort keys %$node) // '';
        weighted(
            3 => sub { $node->{$at} = $wrong },
            1 => sub { delete $node->{$at}; $several = 'within' },
            1 => sub { $node->{ pick(@names) } = delete $node->{$at}; $several = 'within' },
            1 => sub { my $name = pick(@names); $node->{$name} = $wrong; $at = $name });
    }
    else
    {
        $at = int(rand(@$node));
        weighted(3 => sub { $node->[$at] = $wrong }, 1 => sub { splice(@$node, $at, 1) }, 1 => sub { push @$node, $wrong });
    }
    $several = 'any' if "$pointer/$at" =~ m{/key(/|$)} || "$pointer/$at" =~ m{/(each|alias)$};
    return ($json->encode($spec), $several // 'none');
}

sub first_line { my ($error) = @_; return $error =~ s/^.*?ERROR: +//r =~ s/\n.*//sr }

# Returns how many were judged differently.
sub run
{
    my ($server, $seed, $count) = @_;
    my $dbh = $server->dbh;
    my ($refused, $different) = (0, 0);
    srand($seed);
    $dbh->do(q{SELECT readmodel.create_event_table('public.log')});
    $dbh->do(q{SELECT readmodel.create_source('log', 'public.log', metadata => 'metadata', occurred_at => 'occurred_at')});
    foreach (1 .. $count)
    {
        my ($spec, $several) = mutated();
        my %said;
        foreach my $ask ([interpreter => 'SELECT spec_interpreter.compile($1::jsonb)'],
            [extension => q{SELECT readmodel.definition_hash('log', spec => $1::jsonb)}])
        {
            my ($who, $sql) = @$ask;
            $said{$who} = eval { $dbh->do($sql, undef, $spec); 1 } ? 'accepted' : first_line($@);
        }
        $refused++ if $said{interpreter} ne 'accepted';
        my ($interpreter, $extension) = @said{qw(interpreter extension)};
        my $same = $interpreter eq $extension;
        # A prefix of what the other says.
        $same ||= $several eq 'any' || index($interpreter, $extension) == 0 || index($extension, $interpreter) == 0
          if $several ne 'none' && $interpreter =~ /^invalid spec at/ && $extension =~ /^invalid spec at/;
        next if $same || $different++ >= 10;
        print "JUDGED DIFFERENTLY: $spec\n    interpreter: $interpreter\n    extension:   $extension\n";
    }
    $dbh->do(q{SELECT readmodel.drop_source('log')});
    $dbh->do('DROP TABLE public.log');
    print "$count specs with something changed, $refused refused, $different judged differently (SEED=$seed)\n";
    return $different;
}

1;
