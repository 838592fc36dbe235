# Numbers that a seed and a name determine: splitmix64. Every actor has a stream of its own, so that what one draws does not
# depend on how often the others did, and a seed gives the same plan on every machine.
package Torture::Random;

use strict;
use warnings;
no warnings 'portable';    # 64 bits

sub new
{
    my ($class, $seed, $name) = @_;
    use integer;
    my $state = 0xcbf29ce4 ^ $seed;
    $state = ($state ^ $_) * 1099511628211 foreach unpack('C*', $name);    # FNV-1a
    return bless { state => $state }, $class;
}

# 62 bits, not negative.
sub next_bits
{
    my ($self) = @_;
    use integer;
    $self->{state} += -7046029254386353131;
    my $z = $self->{state};
    $z = ($z ^ (($z >> 30) & 0x3ffffffff)) * -4658895280553007687;
    $z = ($z ^ (($z >> 27) & 0x1fffffffff)) * -7723592293110705685;
    return ($z ^ (($z >> 31) & 0x1ffffffff)) & 0x3fffffffffffffff;
}

# 0 .. below - 1
sub below
{
    my ($self, $below) = @_;
    use integer;
    return $self->next_bits % $below;
}

sub between
{
    my ($self, $low, $high) = @_;
    return $low + $self->below($high - $low + 1);
}

sub chance
{
    my ($self, $percent) = @_;
    return $self->below(100) < $percent;
}

sub pick
{
    my ($self, @list) = @_;
    return $list[ $self->below(scalar @list) ];
}

# One of the names in [name => weight, ..].
sub weighted
{
    my ($self, @weights) = @_;
    my $sum = 0;
    $sum += $weights[ 2 * $_ + 1 ] foreach 0 .. $#weights / 2;
    my $at = $self->below($sum);
    while (my ($name, $weight) = splice(@weights, 0, 2))
    {
        return $name if $at < $weight;
        $at -= $weight;
    }
    die 'unreachable';
}

# Mostly short, now and then much longer: milliseconds with this mean.
sub wait
{
    my ($self, $mean) = @_;
    return $self->chance(10) ? $self->between($mean, 6 * $mean) : $self->between(0, int(1.4 * $mean));
}

sub shuffle
{
    my ($self, @list) = @_;
    for (my $i = $#list; $i > 0; $i--)
    {
        my $j = $self->below($i + 1);
        @list[ $i, $j ] = @list[ $j, $i ];
    }
    return @list;
}

1;
