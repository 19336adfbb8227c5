"""Runs a program on a terminal: terminal.py STEPS PROGRAM [ARGUMENT...].

STEPS is a JSON list of ["expect", RE], ["send", TEXT] and ["file", NAME] (wait until it is there). Prints what the terminal
showed, as JSON, with the exit code: {"shown": TEXT, "exit": CODE}. Whatever does not come within 40 s ends it.
"""
import json, os, pty, re, select, signal, sys, time

LIMIT = 40


def main():
    steps = json.loads(sys.argv[1])
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[2], sys.argv[2:])
    shown, at, end = b"", 0, time.monotonic() + LIMIT

    def read(seconds):
        nonlocal shown
        if select.select([terminal], [], [], seconds)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                return False
            shown += piece
            return bool(piece)
        return True

    for kind, text in steps:
        while True:
            if kind == "send":
                os.write(terminal, text.encode())
                break
            if kind == "file" and os.path.exists(text):
                break
            found = re.search(text.encode(), shown[at:], re.S) if kind == "expect" else None
            if found:
                at += found.end()
                break
            if not read(0.05) or time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                sys.exit("%s %r did not come; shown was %r" % (kind, text, shown))
    while read(0.05):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            sys.exit("it did not end; shown was %r" % shown)
    _, status = os.waitpid(pid, 0)
    json.dump({"shown": shown.decode(errors="replace"), "exit": os.waitstatus_to_exitcode(status)}, sys.stdout)


main()
