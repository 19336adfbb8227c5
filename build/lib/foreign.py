"""Programs for another processor, run by qemu-user."""

import os

from board import need


def emulator(target):
    """The words that run an executable of a target; none where the machine itself does."""
    program, *options = target.qemu.split()
    if program == f"qemu-{os.uname().machine}-static":
        return []
    return [need(program, "qemu-user-static"), *options]
