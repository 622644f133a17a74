"""The system calls that a child may make, by name. Data only.

Every call that is not named here is answered with EPERM.
"""

from __future__ import annotations

__all__ = [
    "ALLOWED",
    "CHECKED",
    "EACCES_CALLS",
    "ENOLCK_CALLS",
    "ENOSYS_CALLS",
    "ENOTSOCK_CALLS",
    "EOPNOTSUPP_CALLS",
    "FAKED_WITHOUT_NAMESPACES",
    "SETTING_UP",
    "TRIPWIRES",
]

ALLOWED = frozenset(
    """
    read write readv writev pread64 pwrite64 preadv preadv2 pwritev pwritev2 close
    fstat stat lstat newfstatat statx lseek
    mmap mprotect munmap mremap brk msync mincore madvise mlock munlock map_shadow_stack membarrier
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend
    sigaltstack pause alarm getitimer setitimer restart_syscall
    access faccessat faccessat2 open openat openat2 creat mkdir mkdirat rmdir unlink unlinkat
    rename renameat renameat2 link linkat symlink symlinkat readlink readlinkat
    chmod fchmod fchmodat fchmodat2 utimensat utimes futimesat utime truncate ftruncate fallocate
    fsync fdatasync getcwd chdir fchdir umask getdents64 statfs fstatfs copy_file_range
    fadvise64
    dup dup2 dup3 pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl
    epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
    timerfd_create timerfd_settime timerfd_gettime
    set_robust_list get_robust_list set_tid_address rseq
    sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
    sched_get_priority_min getcpu arch_prctl exit exit_group wait4 waitid
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrandom
    uname sysinfo getpid getppid gettid getpgrp getpgid getsid getuid geteuid getgid getegid
    getresuid getresgid getgroups getrlimit getrusage getpriority
    getsockname getpeername shutdown
    """.split()
)
"""Calls that are allowed with any arguments."""

CHECKED = frozenset(
    """
    clone close_range socketpair sendto recvfrom getsockopt kill tgkill ioctl fcntl prctl prlimit64
    setpriority futex
    """.split()
)
"""Calls that are allowed with some arguments, which ``seccomp`` lists."""

ENOSYS_CALLS = frozenset(
    """
    clone3 io_uring_setup memfd_create memfd_secret
    splice tee cachestat futex_waitv
    """.split()
)
"""Calls answered with ENOSYS, so that libraries fall back to an older call.

The calls of the second line reach far into the kernel and save honest code little. They move
pages of files that all sandboxes share, or reveal which pages are in memory.
"""

ENOTSOCK_CALLS = frozenset({"sendfile"})
"""Calls answered with ENOTSOCK, so that ``shutil`` and ``pathlib`` copy in another way.

``sendfile`` moves pages of shared files, as ``splice`` does.
"""

ENOLCK_CALLS = frozenset({"flock"})
"""Calls answered as by a file system without locks. Two sandboxes could signal to each other with
an exclusive lock on a file that both can only read. SQLite and similar libraries lock by ``fcntl``.
"""

EOPNOTSUPP_CALLS = frozenset(
    """
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    removexattr lremovexattr fremovexattr
    """.split()
)
"""Calls answered as by a file system without extended attributes; ``shutil`` then continues."""

EACCES_CALLS = frozenset("socket connect".split())
"""Calls answered with EACCES: a sandbox has no network."""

TRIPWIRES = frozenset(
    """
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd pidfd_send_signal
    mount umount2 pivot_root chroot setns unshare move_mount open_tree fsopen fsconfig fsmount
    fspick mount_setattr bpf perf_event_open userfaultfd keyctl add_key request_key
    open_by_handle_at name_to_handle_at io_uring_enter io_uring_register seccomp
    landlock_create_ruleset landlock_add_rule landlock_restrict_self kexec_load kexec_file_load
    init_module finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd syslog
    settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname iopl ioperm
    modify_ldt personality fanotify_init vhangup
    """.split()
)
"""Calls that no honest program makes here; the kernel kills the process."""

FAKED_WITHOUT_NAMESPACES = frozenset(
    """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    """.split()
)
"""Calls that Landlock does not cover. Without a mount namespace they do nothing, with success."""

SETTING_UP = frozenset(
    """
    clone recvmsg sendmsg pidfd_open setns
    setsid prctl unshare mount capset landlock_restrict_self seccomp
    """.split()
)
"""Calls of a zygote with namespaces, and of its children while they lock themselves down. The
policy applies to these calls only once a child has locked itself down; to all others, always.
"""
