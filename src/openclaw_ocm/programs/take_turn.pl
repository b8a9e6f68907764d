#!/usr/bin/perl
# Has gateways start in turns: says that one may begin (sd_notify(3)) once a slot is free, and keeps the slot
# until that gateway is ready, has ended or takes too long. There are as many slots as starts fit the machine
# at that moment, and at least one. Whatever goes wrong in here, the gateway begins all the same.
#
# Arguments: the directory of the slots, the instance, its record, the settings of the host, how many bytes a
# start takes, how many seconds one may keep others waiting, and how many it waits itself at most; and below
# which root the kernel tells what the machine has, if that is not /.
use strict;
use warnings;
use Fcntl qw(:flock);
use POSIX ();
use Socket;

use constant { POLL_SECONDS => 0.25, ANSWER_SECONDS => 2, LONGEST_ANSWER => 4096 };

my ($directory, $name, $record, $settings, $bytes, $keep_seconds, $wait_seconds, $root) = @ARGV;
$root //= '';
$SIG{PIPE} = 'IGNORE';
mkdir $directory, 0700;
my $pass = "$directory/$name.pass";

my $slot = wait_for_slot();
notify("READY=1\nSTATUS=$name may start\n");
keep_until_started() if $slot;
exit 0;

# Returns an open slot, which is free again when this program ends; none where it is to begin without one.
sub wait_for_slot {
    my ($until, $told) = (seconds() + $wait_seconds, 0);
    while (seconds() < $until) {
        # Who starts it by a command sees to it that not too many begin at once.
        return free_slot(1 + most()) if unlink $pass;
        my $slot = free_slot(together());
        return $slot if $slot;
        notify("STATUS=$name waits for its turn to start\n") if !$told++;
        select undef, undef, undef, POLL_SECONDS;
    }
    return;
}

# Returns a free slot where fewer than so many are taken. One looks at a time, so that none is counted twice.
sub free_slot {
    my ($together) = @_;
    my ($taken, $mine) = (0, undef);
    open my $looking, '>>', "$directory/looking" or return all_the_same("$directory/looking: $!");
    flock $looking, LOCK_EX | LOCK_NB or return;
    for my $number (0 .. most()) {
        last if $taken >= $together;
        open my $slot, '>>', "$directory/slot-$number" or return all_the_same("$directory: $!");
        if (!flock $slot, LOCK_EX | LOCK_NB) { $taken++; }
        elsif (!$mine)                       { $mine = $slot; }
    }
    return $taken < $together ? $mine : undef;
}

# Where there can be no slots nobody waits for one.
sub all_the_same {
    print STDERR "gateways start without turns: $_[0]\n";
    notify("READY=1\n");
    exit 0;
}

sub keep_until_started {
    my ($port, $began) = (number_in($record, 'port'), 0);
    return if !$port;
    my $until = seconds() + $keep_seconds;
    while (seconds() < $until) {
        my $runs = gateway_runs();
        # If it is started again, that is another turn.
        return if $began && !$runs;
        $began ||= $runs;
        return if is_ready($port);
        select undef, undef, undef, POLL_SECONDS;
    }
    return;
}

# Tells whether there is a process of the gateway, whose unit is in the same slice.
sub gateway_runs {
    my ($own) = text('/proc/self/cgroup') =~ m{^0::(/.*)/[^/]+$}m or return 0;
    return scalar(text("/sys/fs/cgroup$own/openclaw-gateway-$name.service/cgroup.events") =~ /^populated 1$/m);
}

# The answer is the instance's: it is bounded in size and time.
sub is_ready {
    my ($port) = @_;
    my ($answer, $part) = ('', '');
    local $SIG{ALRM} = sub { die "late\n" };
    eval {
        alarm ANSWER_SECONDS;
        socket my $gateway, PF_INET, SOCK_STREAM, 0 or die;
        connect $gateway, sockaddr_in($port, INADDR_LOOPBACK) or die;
        syswrite $gateway, "GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:$port\r\n\r\n" or die;
        $answer .= $part while length $answer < LONGEST_ANSWER && sysread $gateway, $part, LONGEST_ANSWER;
    };
    alarm 0;
    return $answer =~ m{\AHTTP/1\.[01] 200 .*"ready":\s*true}s;
}

# Returns how many starts fit the machine now, or what its user says.
sub together {
    my $asked = number_in($settings, 'jobs');
    return $asked if $asked;
    my $free = free_memory();
    my ($cores, $fit) = (cores(), defined $free ? int($free / $bytes) : cores());
    my $together = $fit < $cores ? $fit : $cores;
    return $together > 1 ? $together : 1;
}

# Returns how many there may have been at any moment.
sub most {
    my ($asked, $cores) = (number_in($settings, 'jobs'), cores());
    return $asked > $cores ? $asked : $cores;
}

sub cores {
    my ($mask) = text("$root/proc/self/status") =~ /^Cpus_allowed:\s*([0-9a-f,]+)$/m;
    my $cores = ($mask // '1') =~ tr/,//dr;
    $cores = unpack '%32b*', pack 'H*', length($cores) % 2 ? "0$cores" : $cores;
    my ($quota, $period) = text("$root/sys/fs/cgroup/cpu.max") =~ /\A([0-9]+) ([1-9][0-9]*)/;
    $cores = int($quota / $period) if defined $quota && $quota / $period < $cores;
    return $cores > 1 ? $cores : 1;
}

sub free_memory {
    my ($available) = text("$root/proc/meminfo") =~ /^MemAvailable:\s+([0-9]+) kB$/m;
    my $free = defined $available ? $available * 1024 : undef;
    my ($limit) = text("$root/sys/fs/cgroup/memory.max") =~ /\A([0-9]+)$/;
    my ($used) = text("$root/sys/fs/cgroup/memory.current") =~ /\A([0-9]+)$/;
    if (defined $limit && defined $used) {
        my $left = $limit > $used ? $limit - $used : 0;
        $free = $left if !defined $free || $left < $free;
    }
    return $free;
}

# Returns a number that stands above all tables of a TOML file, 0 where there is none.
sub number_in {
    my ($path, $key) = @_;
    for my $line (split /\n/, text($path)) {
        return $1 if $line =~ /^\s*$key\s*=\s*([0-9]{1,9})\s*(?:#.*)?$/;
        last      if $line =~ /^\s*\[/;
    }
    return 0;
}

sub text {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return <$file> // '';
}

# On a clock that nobody sets.
sub seconds {
    return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub notify {
    my $path = $ENV{NOTIFY_SOCKET} or return;
    $path =~ s/\A@/\0/;
    socket my $manager, PF_UNIX, SOCK_DGRAM, 0 or return;
    send $manager, $_[0], 0, sockaddr_un($path);
    return;
}
