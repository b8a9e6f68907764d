"""The system calls of a sandbox as data: what is allowed, what is refused, and which arguments are refused.

The same filter that the systemd renderer asks for in words: SystemCallFilter=, RestrictNamespaces=,
RestrictAddressFamilies=, RestrictRealtime= and LockPersonality=.
"""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# @system-service as `systemd-analyze syscall-filter` of systemd 257 expands it, without @keyring,
# process_vm_readv, process_vm_writev and io_uring_*, which the systemd renderer takes out too. Taken out here
# besides: setns, which RestrictNamespaces= refuses; sched_setattr, clone3 and socketcall, whose arguments lie
# in memory where no filter sees them. Names that a machine does not have are passed over.
ALLOWED = _names(
    """
    _llseek _newselect accept accept4 access alarm arch_prctl arm_fadvise64_64 bind brk cacheflush capget
    capset chdir chmod chown chown32 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 clone close close_range connect copy_file_range creat dup dup2
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
    fdatasync fgetxattr file_getattr file_setattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futex_waitv
    futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid
    getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
    io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kcmp kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat
    listen listmount listxattr listxattrat llistxattr llseek lremovexattr lseek lsetxattr
    lsm_get_self_attr lsm_list_modules lstat lstat64 madvise mbind membarrier memfd_create migrate_pages
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 move_pages mprotect mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
    newfstat newfstatat nice oldfstat oldlstat oldolduname oldstat olduname open openat openat2 pause
    personality pidfd_open pidfd_send_signal pipe pipe2 poll ppoll ppoll_time64 prctl pread64 preadv
    preadv2 prlimit64 process_madvise pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
    readdir readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
    removexattr removexattrat rename renameat renameat2 restart_syscall riscv_flush_icache riscv_hwprobe
    rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setparam sched_setscheduler sched_yield seccomp
    select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
    sendto set_mempolicy set_mempolicy_home_node set_robust_list set_thread_area set_tid_address set_tls
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
    sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socket
    socketpair splice stat stat64 statfs statfs64 statmount statx swapcontext symlink symlinkat sync
    sync_file_range sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64
    ugetrlimit umask uname unlink unlinkat unshare uretprobe userfaultfd utime utimensat utimensat_time64
    utimes vfork vmsplice wait4 waitid waitpid write writev
    """
)

# The rest of what systemd 257 knows. It answers EPERM; what is in neither list (clone3, and calls newer than
# the list) answers ENOSYS, on which the C library takes an older call. So does systemd since 256.
REFUSED = _names(
    """
    _sysctl acct add_key adjtimex afs_syscall arc_gettls arc_settls arc_usr_cmpxchg atomic_barrier
    atomic_cmpxchg_32 bdflush bpf break breakpoint cachectl cachestat chroot clock_adjtime clock_adjtime64
    clock_settime clock_settime64 create_module delete_module dipc exec_with_loader execv fanotify_init
    fanotify_mark finit_module fsconfig fsmount fsopen fspick ftime futex_requeue futex_wait futex_wake
    get_kernel_syms get_tls getdomainname getdtablesize gethostname getpagesize getpmsg getxgid getxpid
    getxuid gtty idle init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl
    kern_features kexec_file_load kexec_load keyctl lock lookup_dcookie lsm_set_self_attr map_shadow_stack
    memfd_secret memory_ordering mincore modify_ldt mount mount_setattr move_mount mpx multiplexer
    old_adjtimex oldumount open_by_handle_at open_tree or1k_atomic osf_fstat osf_fstatfs osf_fstatfs64
    osf_getdirentries osf_getdomainname osf_getitimer osf_getrusage osf_getsysinfo osf_gettimeofday
    osf_lstat osf_mount osf_proplist_syscall osf_select osf_set_program_attributes osf_setitimer
    osf_setsysinfo osf_settimeofday osf_shmat osf_sigprocmask osf_sigstack osf_stat osf_statfs
    osf_statfs64 osf_swapon osf_syscall osf_sysinfo osf_usleep_thread osf_utimes osf_utsname osf_wait4
    pciconfig_iobase pciconfig_read pciconfig_write perf_event_open perfctr pidfd_getfd pivot_root
    pkey_alloc pkey_free pkey_mprotect process_mrelease process_vm_readv process_vm_writev prof profil
    ptrace putpmsg query_module quotactl quotactl_fd reboot request_key rtas s390_guarded_storage
    s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr s390_sthyi sched_get_affinity
    sched_set_affinity sched_setattr security setdomainname sethae sethostname setns setpgrp settimeofday
    sgetmask spu_create spu_run ssetmask stime stty subpage_prot swapoff swapon switch_endian
    sys_debug_setcontext syscall sysfs syslog sysmips timerfd tuxcall ulimit umount umount2 uselib usr26
    usr32 ustat utrap_install vhangup vm86 vm86old vserver
    """
)

# What the tool host of a sandbox needs besides, to make the gateway's namespaces and the boxes.
_HOSTING = _names("chroot mount pivot_root setns umount umount2")

# The 32 low bits of an argument: the kernel takes no more of an int, and a filter compares all 64.
_INT = 0xFFFFFFFF
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
_LAST_FAMILY = 46
# CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (linux/sched.h).
_NAMESPACE_FLAGS = (1 << 7, 1 << 17, *(1 << bit for bit in range(25, 31)))
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX put what is typed into the terminal of another
_REALTIME = (
    1,
    2,
    4,
)  # SCHED_FIFO, SCHED_RR; 4 is not in use; from 6, SCHED_DEADLINE, on there is none to allow
_DEADLINE = 6
# S_ISUID and S_ISGID: who runs such a file outside of the sandbox is its owner there. openat2, whose
# arguments lie in memory, can make an empty one: the kernel takes the bits off with the first byte written.
_SET_ID = (0o4000, 0o2000)
_MODE_OF = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "mknod": 1,
    "mknodat": 2,
}
# Which arguments of the calls that open are flags and mode, and the flags with which the mode counts: O_CREAT
# and __O_TMPFILE (asm-generic/fcntl.h).
_OPENING = {"open": (1, 2), "openat": (2, 3)}
_MAKING = (0o100, 0o20000000)


class Refusal(NamedTuple):
    """A system call that is refused with `error` where `argument` & `mask` is `test` (==, !=, >=) `value`.

    Only == takes a mask. `also` is another argument and the bits that it must have besides.
    """

    call: str
    argument: int
    test: str
    value: int
    error: int
    mask: int = 2**64 - 1
    also: tuple[int, int] | None = None


def allowed_calls(*, hosting: bool) -> frozenset[str]:
    """Return the system calls of a gateway, or those of the tool host above it."""
    return ALLOWED | _HOSTING if hosting else ALLOWED


def argument_refusals(address_families: tuple[str, ...], *, hosting: bool) -> tuple[Refusal, ...]:
    """Return the arguments for which allowed system calls are refused.

    `address_families` are those of the policy; raises `KeyError` for one that is not known here. Who is
    `hosting` may make namespaces.
    """
    families = {_FAMILIES[name] for name in address_families}
    others = [number for number in range(_LAST_FAMILY) if number not in families]
    return (
        *(
            refusal
            for call in ("socket", "socketpair")
            for refusal in (
                *(Refusal(call, 0, "==", number, errno.EAFNOSUPPORT) for number in others),
                Refusal(call, 0, ">=", _LAST_FAMILY, errno.EAFNOSUPPORT),
            )
        ),
        *(
            Refusal(call, 0, "==", flag, errno.EPERM, mask=flag)
            for call in ("clone", "unshare")
            for flag in (() if hosting else _NAMESPACE_FLAGS)
        ),
        *(Refusal("ioctl", 1, "==", request, errno.EPERM, mask=_INT) for request in _TERMINAL_INPUT),
        *(Refusal("sched_setscheduler", 1, "==", policy, errno.EPERM) for policy in _REALTIME),
        Refusal("sched_setscheduler", 1, ">=", _DEADLINE, errno.EPERM),
        Refusal("personality", 0, "!=", 0, errno.EPERM),
        *_set_id_refusals(),
    )


def _set_id_refusals() -> Iterator[Refusal]:
    for bit in _SET_ID:
        for call, mode in _MODE_OF.items():
            yield Refusal(call, mode, "==", bit, errno.EPERM, mask=bit)
        for call, (flags, mode) in _OPENING.items():
            for making in _MAKING:
                yield Refusal(call, mode, "==", bit, errno.EPERM, mask=bit, also=(flags, making))


def digest(address_families: tuple[str, ...], *, hosting: bool = False) -> str:
    """Return what tells one filter from another: a compiled one is named after it."""
    refusals = argument_refusals(address_families, hosting=hosting)
    source = (sorted(allowed_calls(hosting=hosting)), sorted(REFUSED), refusals)
    return hashlib.sha256(repr(source).encode()).hexdigest()[:16]
