#!/usr/bin/perl
# Runs before bwrap: opens the filters, leaves the caller's session and lets go of its terminal. (The leader
# of a process group stays in its session: what supervises it signals that group.) SIGTERM is blocked and not
# ignored: bwrap, which would die of it and take the sandbox along, never sees it, while the first process inside
# gets it even if it came before that was ready to hear it. What came before there was one waits out here for
# ever: that process reads it from descriptor 10, what /proc says of this one.
#
# It reaches perl as one line, for a program file of supervisord holds no other: each comment is a line of its
# own and is left out. Every change of the rest changes the definition of every instance under supervisord.
use strict;
use POSIX qw(:signal_h setsid dup2);
umask 077;
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM));
setsid();
if (open(my $terminal, "+<", "/dev/tty")) { local $SIG{HUP} = "IGNORE"; ioctl($terminal, 0x5422, 0); }
for my $number (8, 9) {
    my $path = shift;
    open(my $file, "<", $path) or die "$path: $!\n";
    dup2(fileno($file), $number);
}
open(my $status, "<", "/proc/self/status") or die "/proc/self/status: $!\n";
dup2(fileno($status), 10);
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
