#!/usr/bin/perl
# Runs a program for one who is elsewhere, with whom it has its own standard input and output alone, and tells
# all of it in frames: so each side knows a stream that ended from one that was cut off. It goes on to read
# whatever the program does, takes no more than was agreed, and ends the program when nobody is there any more.
#
# A frame is a letter, how many bytes follow (four bytes, the highest first), and these. What comes in:
#   d directory   v NAME=VALUE   a argument   g begin   i input   e the end of the input
#   w rows and columns, two bytes each: before `g` a terminal is wanted, after it it has another size
# What goes out:
#   o output, empty where there is nothing new to tell   r errors   c how many bytes of input were taken
#   x the end: the exit status, whether both streams were read to their ends, and how long each was
use strict;
use warnings;
use Errno qw(EAGAIN EINTR ENOENT);
use Fcntl;
use POSIX qw(:sys_wait_h);

use constant { PIECE => 65_536, LONGEST_FRAME => 2**20, MOST_INPUT => 2**22, MOST_OUTPUT => 2**18 };
# A pipe holds no more (pipe(7), pipe-max-size).
use constant { MOST_LATE => 2**20 };
use constant { ALIVE_SECONDS => 10, LATE_SECONDS => 1, GRACE_SECONDS => 5, LEAVING_SECONDS => 30 };
# ioctl(2) of terminals, the same on all that Debian calls amd64 and arm64.
use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430, TIOCSCTTY => 0x540E, TIOCSWINSZ => 0x5414 };

# What came and is no whole frame yet, what the program is to be given, and what is to be told.
my ($in, $input, $out) = ('', '', '');
my (@argv, %variables, $directory, $size);
# The program, how it ended, where it reads, and where it writes by the letter of the stream.
my ($program, $status, $to, %from);
my ($input_ended, $gone) = (0, 0);
my %length = (o => 0, r => 0);
my ($reported, $active) = (seconds()) x 2;
# When the connection was gone; when after its end the program's streams were empty, and what came since then.
my ($hung_up, $drained, $late);

binmode STDIN;
binmode STDOUT;
$SIG{PIPE} = 'IGNORE';
while (!$program) {
    receive();
    exit 0 if $gone;
}
fcntl STDOUT, F_SETFL, fcntl(STDOUT, F_GETFL, 0) | O_NONBLOCK;
while (!is_over()) {
    hang_up() if $gone;
    serve();
    if (!defined $status && waitpid($program, WNOHANG) == $program) {
        $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
        $active = seconds();
    }
}
end_what_is_left();
exit 0 if $gone;
report('x', pack 'CCQ>Q>', $status, %from ? 0 : 1, @length{qw(o r)});
send_out(1) while length $out && !$gone;
# What leaves before all that it told has gone its way may take the rest along.
my $until = seconds() + LEAVING_SECONDS;
while (!$gone && seconds() < $until) {
    $in = '';
    my $readable = bit(\*STDIN);
    receive(1) if select $readable, undef, undef, 1;
}
exit 0;

# One round: reads what there is, writes what is taken.
sub serve {
    my ($readable, $writable) = ('', '');
    my @open = length $out < MOST_OUTPUT ? sort keys %from : ();
    $readable |= bit(\*STDIN) if !$gone && length $input < MOST_INPUT;
    $readable |= bit($from{$_}) for @open;
    $writable |= bit(\*STDOUT) if length $out;
    $writable |= bit($to) if $to && length $input;
    # Without a stream to wait for only the program's end is left.
    my $ready = select $readable, $writable, undef, defined $status || !%from ? 0.02 : LATE_SECONDS;
    my @full = $ready > 0 ? grep { has($readable, $from{$_}) } @open : ();
    $drained //= seconds() if defined $status && @open && !@full;
    if ($ready > 0) {
        receive() if has($readable, \*STDIN);
        read_from($_) for @full;
        give() if $to && has($writable, $to);
        send_out() if has($writable, \*STDOUT);
    }
    report('o', '') if !length $out && seconds() - $reported > ALIVE_SECONDS;
}

# Takes what came on standard input, to `dropped` without a look at it.
sub receive {
    my ($dropped) = @_;
    my $count = sysread STDIN, $in, PIECE, length $in;
    return if !defined $count && ($!{EINTR} || $!{EAGAIN});
    $gone = 1 if !$count;
    return if $dropped;
    while (length $in >= 5) {
        my ($letter, $length) = unpack 'aN', $in;
        die "a frame is too long\n" if $length > LONGEST_FRAME;
        last if length $in < 5 + $length;
        my $content = substr $in, 5, $length;
        substr $in, 0, 5 + $length, '';
        take($letter, $content);
    }
}

sub take {
    my ($letter, $content) = @_;
    if ($letter eq 'i') {
        if ($to) { $input .= $content; }
        else     { report('c', pack 'N', length $content); }
    } elsif ($letter eq 'e') {
        $input_ended = 1;
        close_input() if !length $input;
    } elsif ($letter eq 'w') {
        $size = pack 'S4', unpack('nn', $content), 0, 0;
        # To the foreground of the terminal the kernel tells it.
        ioctl $to, TIOCSWINSZ, $size if $program && $to;
    } elsif ($program) {
        die "the program runs already\n";
    } elsif ($letter eq 'a') {
        push @argv, $content;
    } elsif ($letter eq 'd') {
        $directory = $content;
    } elsif ($letter eq 'v') {
        my ($name, $value) = split /=/, $content, 2;
        $variables{$name} = $value;
    } elsif ($letter eq 'g') {
        begin();
    } else {
        die "an unknown frame\n";
    }
}

sub begin {
    my @streams = $size ? on_terminal() : on_pipes();
    $program = fork() // die "fork: $!\n";
    if (!$program) {
        POSIX::setsid();
        ioctl $streams[0], TIOCSCTTY, 0 if $size;
        POSIX::dup2(fileno $streams[$_], $_) for 0 .. 2;
        $SIG{PIPE} = 'DEFAULT';
        $ENV{$_} = $variables{$_} for keys %variables;
        refuse(126, $directory) if defined $directory && !chdir $directory;
        { no warnings; exec { $argv[0] } @argv; }
        refuse($!{ENOENT} ? 127 : 126, $argv[0]);
    }
    for my $file ($to, values %from) { fcntl $file, F_SETFL, fcntl($file, F_GETFL, 0) | O_NONBLOCK; }
}

sub refuse {
    my ($code, $what) = @_;
    syswrite STDERR, "$what: $!\n";
    POSIX::_exit($code);
}

# Returns what the program gets as its streams; the other ends are kept.
sub on_pipes {
    pipe my $stdin, $to or die "pipe: $!\n";
    pipe $from{o}, my $stdout or die "pipe: $!\n";
    pipe $from{r}, my $stderr or die "pipe: $!\n";
    return $stdin, $stdout, $stderr;
}

sub on_terminal {
    sysopen $to, '/dev/ptmx', O_RDWR | O_NOCTTY or die "no terminal can be made: $!\n";
    my ($locked, $number) = (pack('i', 0), pack('I', 0));
    ioctl $to, TIOCSPTLCK, $locked or die "no terminal can be made: $!\n";
    ioctl $to, TIOCGPTN, $number or die "no terminal can be made: $!\n";
    ioctl $to, TIOCSWINSZ, $size;
    my $path = '/dev/pts/' . unpack 'I', $number;
    sysopen my $terminal, $path, O_RDWR | O_NOCTTY or die "$path: $!\n";
    $from{o} = $to;
    return ($terminal) x 3;
}

sub read_from {
    my ($letter) = @_;
    my $count = sysread $from{$letter}, my $piece, PIECE;
    return if !defined $count && ($!{EAGAIN} || $!{EINTR});
    # A terminal that nobody has open any more is an error (EIO) and no end.
    return delete $from{$letter} if !$count;
    $length{$letter} += $count;
    $late += $count if defined $status;
    $active = seconds();
    report($letter, $piece);
}

sub give {
    my $count = syswrite $to, $input, PIECE;
    return if !defined $count && ($!{EAGAIN} || $!{EINTR});
    # Nobody reads it any more.
    my $refused = !defined $count;
    $count = length $input if $refused;
    substr $input, 0, $count, '';
    report('c', pack 'N', $count);
    close_input() if $refused || ($input_ended && !length $input);
}

# A terminal is closed with the connection.
sub close_input {
    undef $to if !$size;
}

sub report {
    my ($letter, $content) = @_;
    $reported = seconds();
    $out .= pack('aN', $letter, length $content) . $content if !$gone;
}

sub send_out {
    my ($waits) = @_;
    my $writable = bit(\*STDOUT);
    select undef, $writable, undef, undef if $waits;
    my $count = syswrite STDOUT, $out, PIECE;
    return if !defined $count && ($!{EAGAIN} || $!{EINTR});
    $gone = 1 if !defined $count;
    substr $out, 0, $count // length $out, '';
}

# The program has ended and its streams too, or what it left behind holds them open and is waited for no more:
# what it had printed itself is read by then.
sub is_over {
    return if !defined $status;
    return 1 if !%from || $gone || ($late // 0) > MOST_LATE;
    return defined $drained && (seconds() - $active > LATE_SECONDS || seconds() - $drained > GRACE_SECONDS);
}

# Nobody is there any more: the program is told, as when a terminal is closed, and then killed.
sub hang_up {
    $out = $input = '';
    return if defined $status;
    if (!defined $hung_up) {
        $hung_up = seconds();
        kill 'HUP', -$program;
    } elsif (seconds() - $hung_up > GRACE_SECONDS) {
        kill 'KILL', -$program, $program;
    }
}

# What the program started and left behind has its mark in its environment.
sub end_what_is_left {
    my $mark = $variables{OCM_SESSION} // return;
    for my $path (glob '/proc/[0-9]*/environ') {
        open my $file, '<', $path or next;
        my $environment = '';
        sysread $file, $environment, 2**20;
        my ($pid) = $path =~ m{(\d+)};
        kill 'KILL', $pid if "\0$environment" =~ /\0OCM_SESSION=\Q$mark\E\0/ && $pid != $$;
    }
}

# On a clock that nobody sets.
sub seconds {
    return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub bit {
    my $bits = '';
    vec($bits, fileno $_[0], 1) = 1;
    return $bits;
}

sub has {
    my ($bits, $file) = @_;
    return vec $bits, fileno $file, 1;
}
