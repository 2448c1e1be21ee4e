"""Becomes another program: run as a file of its own, it sets up the process that it is, then replaces itself.

Usage: launcher.py SIGNAL PARENT_PID same|drop|namespace UID GID PROGRAM ARGUMENT..
The invariant: when the program runs, the kernel will send it SIGNAL at its parent thread's end, and the parent was
alive after that was asked for. Privileges are dropped first, because a change of the user clears the request. It is a
program, not a function of the parent: between fork and exec of a process of many threads no Python code is safe.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def main(arguments: list[str]) -> None:
    """Never returns when all goes well: the process is then the program."""
    death_signal, parent_pid, mode, uid, gid, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if mode == "drop":
        os.setgroups([])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
    elif mode == "namespace":
        _enter_namespace(libc, int(uid), int(gid))
    if hasattr(libc, "prctl"):
        _check(libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0))
        if os.getppid() != int(parent_pid):
            sys.exit("the parent ended while its child was starting")
    os.execv(program[0], program)  # noqa: S606 - this is the launcher's purpose


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    """The same user for the file system, but with another number: a program that refuses root then runs."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(libc.unshare(CLONE_NEWUSER))
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {outer_uid} 1")
    _write("/proc/self/gid_map", f"{gid} {outer_gid} 1")


def _write(file: str, text: str) -> None:
    # Without pathlib, whose loading would be half of what a launch costs.
    with open(file, "w") as opened:  # noqa: PTH123
        opened.write(text)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(sys.argv[1:])
