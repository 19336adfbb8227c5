"""Programs for another processor, run by qemu-user.

What a program starts by name has to run as well. The kernel sees to that where it lets us tell it
what runs which files in a user namespace of its own (Linux 6.7, and root), so that the machine's
settings stay as they are. Elsewhere a script stands for each executable.
"""

import ctypes
import os
import shlex

from board import TREE, need, staged

NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
BINFMT = "/proc/sys/fs/binfmt_misc"
# Every id means the same inside as outside.
ALL_IDS = b"0 0 4294967295\n"
REFUSED = 125


def emulator(target):
    """The words that run an executable of a target; none where the machine itself does."""
    program, *options = target.qemu.split()
    if program == f"qemu-{os.uname().machine}-static":
        return []
    return [need(program, "qemu-user-static"), *options]


def script(path, text):
    with staged(path) as new:
        new.write_text(f"#!/bin/sh\n{text}\n")
        new.chmod(0o755)
    return path


def wrapper(path, executable, words):
    """A script that stands for an executable, by whatever name it is called."""
    words = shlex.join([*words, "-0"])
    return script(path, f'exec {words} "${{0##*/}}" {shlex.quote(str(executable))} "$@"')


def interpreter(path, words):
    """What the kernel is to run for an executable. It is given the path and the whole argv."""
    words = shlex.join([*words, "-0"])
    return script(path, f'path=$1 name=$2\nshift 2\nexec {words} "$name" "$path" "$@"')


def rule(executable, program):
    """The kernel's rule for executables like this one: width, byte order and processor decide."""
    head = executable.read_bytes()[:20]
    # Not the version of the ABI, nor whether the addresses are fixed (bit 0 of the type).
    kind = b"\xff\xfe" if head[5] == 2 else b"\xfe\xff"
    mask = b"\xff" * 7 + b"\0" * 9 + kind + b"\xff\xff"

    def escaped(data):
        return "".join(f"\\x{byte:02x}" for byte in data)
    return f":nssbox:M::{escaped(head)}:{escaped(mask)}:{program}:P"


def run_with_rule(text, command, env, output):
    """Runs a command in the tree where the kernel follows a rule; its exit code, or None where
    the kernel does not let us."""
    libc = ctypes.CDLL(None, use_errno=True)
    moved, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(moved[0])
            os.close(mapped[1])
            if libc.unshare(NEW_USER | NEW_MOUNTS) == 0:
                os.write(moved[1], b"x")
                if os.read(mapped[0], 1) and follows(libc, text):
                    os.dup2(output.fileno(), 1)
                    os.dup2(output.fileno(), 2)
                    os.chdir(TREE)
                    os.execvpe(command[0], command, env)
        finally:
            os._exit(REFUSED)
    os.close(moved[1])
    os.close(mapped[0])
    try:
        if os.read(moved[0], 1):
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{child}/{name}", "wb", buffering=0) as ids:
                    ids.write(ALL_IDS)
            os.write(mapped[1], b"x")
    except PermissionError:
        # Not root. The child sees the pipe close, and ends.
        pass
    finally:
        os.close(moved[0])
        os.close(mapped[1])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == REFUSED else code


def follows(libc, text):
    """Inside the namespace: tells the kernel the rule."""
    if libc.mount(b"binfmt_misc", BINFMT.encode(), b"binfmt_misc", 0, None) != 0:
        return False
    with open(f"{BINFMT}/register", "wb", buffering=0) as register:
        register.write(text.encode())
    return True
