"""A machine of its own for programs that let people in: see tests/it/login.

    unshare -m -n -p --fork --kill-child --mount-proc python3 machine.py DIR

DIR/etc     laid over an /etc that has what every machine has, and nobody
DIR/mnt     copied to /mnt, with modes
DIR/start   a shell script that starts what answers, and returns when it does
DIR/ask     lines `ACCOUNT PROGRAM...`: what is to be tried

Prints `ACCOUNT PROGRAM OUTCOME` for each: `in` or `no`; a state for passwd-S; for root-sees,
nobody-sees and those for groups the password field, `hash`, `none` if there is no such user; for
answer how nscd answers: `found`, `none`, `closed`. What programs said and
logged goes to DIR/said. Nothing outside is changed: /etc, /run, /dev, /home, /mnt and whatever
login programs write are in memory here. All ends with this process.
"""
import concurrent.futures
import fcntl
import os
import pathlib
import pty
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

DEADLINE = 60
NOBODY = 65534
PASSWORD = "secret"
PORTS = {"yes": 2201, "no": 2202}

PAM = """auth required pam_unix.so nullok nodelay
account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so
account requisite pam_deny.so
account required pam_permit.so
session required pam_unix.so
password required pam_deny.so
"""
SSHD = """HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/authorized
ListenAddress 127.0.0.1
MaxStartups 200
PermitRootLogin yes
KbdInteractiveAuthentication no
PasswordAuthentication yes
PrintLastLog no
PidFile none
LogLevel VERBOSE
UseDNS no
"""
SUDOERS = """Defaults !lecture, timestamp_timeout=0, !use_pty
root ALL=(ALL:ALL) ALL
ALL ALL=(ALL:ALL) NOPASSWD: /bin/echo, /usr/bin/echo
ALL ALL=(ALL:ALL) PASSWD: /usr/bin/printf
"""

said = []


class Unable(Exception):
    """No such machine can be made here."""


class Failed(Exception):
    """Something did not do what it should."""


def say(text):
    said.append(text if isinstance(text, str) else text.decode(errors="replace"))


def call(*words):
    subprocess.run(words, check=True)


def write(path, text, mode=0o644):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def furnish(given):
    """Puts the test's own file systems over whatever programs read and write."""
    stage = pathlib.Path("/mnt")
    call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/mnt")
    for name in ("etc", "dev"):
        (stage / name).mkdir()
    etc = stage / "etc"
    for name in ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"):
        old = pathlib.Path("/etc", name)
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, etc / name, symlinks=True)
        elif old.is_symlink() or old.exists():
            shutil.copy2(old, etc / name, follow_symlinks=False)
    for name in ("su", "su-l", "login", "sshd", "cron", "sudo", "other"):
        root = "auth sufficient pam_rootok.so\n" if name.startswith("su") and name != "sudo" else ""
        write(etc / "pam.d" / name, root + PAM)
    write(etc / "login.defs", "LOGIN_TIMEOUT 0\nHUSHLOGIN_FILE .hushlogin\n")
    write(etc / "sudoers", SUDOERS, 0o440)
    write(etc / "welcome", "#!/bin/sh\necho welcome\n", 0o755)
    write(etc / "askpass", f"#!/bin/sh\necho {PASSWORD}\n", 0o755)
    write(etc / "hosts", "127.0.0.1 localhost\n")
    (etc / "ssh").mkdir()
    for name, port in PORTS.items():
        write(etc / "ssh" / name, f"{SSHD}Port {port}\nUsePAM {name}\n")
    shutil.copytree(given / "etc", etc, dirs_exist_ok=True)
    for name in ("shadow", "gshadow"):
        if (etc / name).exists():
            (etc / name).chmod(0o600)
    if (given / "mnt").is_dir():
        shutil.copytree(given / "mnt", stage, dirs_exist_ok=True)
    dev = stage / "dev"
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (dev / name).touch()
        call("mount", "--bind", f"/dev/{name}", dev / name)
    (dev / "pts").mkdir()
    call("mount", "-t", "devpts", "-o", "ptmxmode=666,mode=620,gid=5", "devpts", dev / "pts")
    (dev / "ptmx").symlink_to("pts/ptmx")
    for number, name in enumerate(("fd", "stdin", "stdout", "stderr")):
        (dev / name).symlink_to("/proc/self/fd" + (f"/{number - 1}" if number else ""))
    call("mount", "--rbind", dev, "/dev")
    call("mount", "--bind", etc, "/etc")
    for path, mode in (("/run", 755), ("/home", 755), ("/var/log", 755), ("/var/spool/cron", 755),
                       ("/var/lib", 755), ("/var/cache/ldconfig", 700)):
        if os.path.isdir(path):
            call("mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", path)
    for path in ("/run/sshd", "/run/nscd", "/var/spool/cron/crontabs", "/var/lib/sudo"):
        os.makedirs(path, exist_ok=True)
    os.makedirs("/mnt/out")
    os.chmod("/mnt/out", 0o1777)
    # The interface of this network namespace is down.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        up = struct.pack("16sH22x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(s, 0x8914, up)
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/host")
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/id")
    shutil.copy("/etc/ssh/id.pub", "/etc/ssh/authorized")


def collect_log():
    """Keeps what is sent to syslog."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)

    def loop():
        while True:
            say(log.recv(8192).rstrip(b"\n\0"))

    threading.Thread(target=loop, daemon=True).start()


def ids(name):
    """The ids that the machine gives a name, or `None`."""
    try:
        user = pwd.getpwnam(name)
        return user.pw_uid, user.pw_gid
    except KeyError:
        return None


def run(words, asker=None, text="", env=()):
    """Runs a program without a terminal; whether it let anybody in, and its output."""
    who = {} if asker is None else dict(user=asker[0], group=asker[1], extra_groups=[])
    done = subprocess.run(words, input=text.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=DEADLINE, cwd="/",
                          start_new_session=True, env={**ENV, **dict(env)}, **who)
    say(f"$ {' '.join(words)} [{asker}]: {done.returncode} {done.stdout!r}")
    return done.returncode, done.stdout.decode(errors="replace")


def typed(words, asker=None, password=PASSWORD):
    """Runs a program on a terminal of its own, and types a password when it is asked for one."""
    ours, theirs = pty.openpty()
    who = {} if asker is None else dict(user=asker[0], group=asker[1], extra_groups=[])
    child = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, cwd="/", env=ENV,
                             start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **who)
    os.close(theirs)
    seen, answered, end = b"", False, time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.002)[0]:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                piece = b""
            if not piece:
                break
            seen += piece
        if b"incorrect" in seen or b"welcome" in seen:
            break
        # Before echo is off, what is typed would be thrown away.
        if not answered and b"assword:" in seen:
            if not termios.tcgetattr(ours)[3] & termios.ECHO:
                os.write(ours, password.encode() + b"\n")
                answered = True
    else:
        seen += b" DEADLINE"
    os.close(ours)
    try:
        child.wait(1)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    say(f"$ {' '.join(words)} [{asker}, typed]: {child.returncode} {seen!r}")
    if b"DEADLINE" in seen:
        raise Failed(f"{words} hangs: {seen!r}")
    return b"welcome" in seen


def outcome(is_in):
    return "in" if is_in else "no"


def ssh(name, pam, how):
    words = ["ssh", "-F", "none", "-i", "/etc/ssh/id", "-p", str(PORTS[pam])]
    for option in ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
                   "NumberOfPasswordPrompts=1", f"PreferredAuthentications={how}"):
        words += ["-o", option]
    askpass = {"SSH_ASKPASS": "/etc/askpass", "SSH_ASKPASS_REQUIRE": "force"}
    return outcome("welcome" in run(words + [f"{name}@127.0.0.1", ":"], env=askpass)[1])


def sudo(name, words, text=""):
    asker = ids(name)
    return outcome(asker and "welcome" in run(["sudo", *words], asker, text)[1])


def status(name):
    code, text = run(["passwd", "-S", name])
    return text.split()[1] if code == 0 else "none"


def aging(name):
    """Whether `chage -l` knows a user."""
    code, text = run(["chage", "-l", name])
    if code:
        return "no" if "does not exist in /etc/passwd" in text else f"failed-{code}"
    return "yes" if "Last password change" in text else "odd"


def field(name, asker, database="passwd"):
    code, text = run(["getent", database, name], asker)
    if code:
        return "none" if code == 2 else f"failed-{code}"
    text = text.split(":")[1]
    return re.sub(r"\$5\$.*", "hash", text) or "empty"


SOMEBODY = (NOBODY, NOBODY)
PROGRAMS = {
    "su": lambda n: outcome("welcome" in run(["su", n, "-c", ":"])[1]),
    "su-password": lambda n: outcome(typed(["su", n, "-c", ":"], SOMEBODY)),
    "su-wrong": lambda n: outcome(typed(["su", n, "-c", ":"], SOMEBODY, "wrong")),
    "login-f": lambda n: outcome(typed(["login", "-f", n])),
    "login-password": lambda n: outcome(typed(["login", n])),
    "sshd-pam-key": lambda n: ssh(n, "yes", "publickey"),
    "sshd-pam-password": lambda n: ssh(n, "yes", "password"),
    "sshd-key": lambda n: ssh(n, "no", "publickey"),
    "sshd-password": lambda n: ssh(n, "no", "password"),
    "sudo-u": lambda n: outcome("welcome" in run(["sudo", "-u", n, "echo", "welcome"])[1]),
    "sudo": lambda n: sudo(n, ["-n", "echo", "welcome"]),
    "sudo-password": lambda n: sudo(n, ["-S", "printf", "welcome"], PASSWORD + "\n"),
    "passwd-S": status,
    "chage-l": aging,
    "root-sees": lambda n: field(n, None),
    "nobody-sees": lambda n: field(n, SOMEBODY),
    "answer": lambda n: answer(n),
    "root-sees-group": lambda n: field(n, None, "group"),
    "nobody-sees-group": lambda n: field(n, SOMEBODY, "group"),
}
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TERM": "dumb", "HOME": "/"}


def answer(name):
    """How nscd answers the question for a user."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect("/run/nscd/socket")
        key = name.encode() + b"\0"
        client.sendall(struct.pack("3i", 2, 0, len(key)) + key)
        reply = client.recv(8, socket.MSG_WAITALL)
    return {struct.pack("2i", 2, 1): "found", struct.pack("2i", 2, 0): "none"}.get(reply, "closed")


def check_nscd():
    """What is at nscd's socket knows root: so glibc believes it, whatever it says."""
    if os.path.exists("/run/nscd/socket") and answer("root") != "found":
        raise Failed(f"nscd says of root: {answer('root')}")


def start_sshd():
    sshd = shutil.which("sshd", path=ENV["PATH"])
    for name, port in PORTS.items():
        words = [sshd, "-D", "-e", "-f", f"/etc/ssh/{name}"]
        # Later versions shut those out who fail; earlier ones do not know the word.
        off = ["-o", "PerSourcePenalties=no"]
        if subprocess.run([*words, "-t", *off], stderr=subprocess.DEVNULL).returncode == 0:
            words += off
        log = open(f"/mnt/out/sshd-{name}", "wb")
        daemon = subprocess.Popen(words, env=ENV, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if daemon.poll() is not None or time.monotonic() > end:
                    raise Failed("sshd: " + open(log.name).read())
                time.sleep(0.005)


def cron(names):
    """Who has a job run at the start of cron.

    Every job either runs, or its process ends with a message to syslog; a table of somebody
    unknown is named there. So it is known when all have been tried.
    """
    for name in names:
        write(f"/etc/cron.d/{name}", f"SHELL=/bin/sh\n@reboot {name} echo welcome >/mnt/out/cron.{name}\n")
    daemon = subprocess.Popen(["cron", "-f"], env=ENV, stdin=subprocess.DEVNULL)
    end = time.monotonic() + DEADLINE
    while True:
        ran = {n for n in names if os.path.exists(f"/mnt/out/cron.{n}")}
        log = "\n".join(said)
        # Of one that PAM refuses only the process is named.
        refused = set(re.findall(r"CRON\[(\d+)\]: (?:Auth|Perm|User|Account|System|Cannot)", log))
        unknown = {n for n in names if re.search(rf"bad username.*/cron\.d/{n}$", log, re.M)}
        if len(ran) + len(refused) + len(unknown) >= len(names):
            break
        if time.monotonic() > end:
            raise Failed(f"cron: {ran} ran, {len(refused)} refused, {unknown} unknown: {log}")
        time.sleep(0.005)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()
    return {n: outcome(n in ran) for n in names}


def main():
    given = pathlib.Path(sys.argv[1])
    try:
        furnish(given)
    except (OSError, subprocess.CalledProcessError) as e:
        raise Unable(e) from e
    collect_log()
    with open("/mnt/out/services", "wb") as log:
        call_start = subprocess.run(["sh", "-eu", given / "start"], env={**os.environ, **ENV},
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    if call_start.returncode:
        raise Failed("start: " + open("/mnt/out/services").read())
    check_nscd()
    asked = [(line.split()[0], word) for line in (given / "ask").read_text().splitlines()
             for word in line.split()[1:]]
    if any(program.startswith("sshd") for _, program in asked):
        start_sshd()
    by_cron = [name for name, program in asked if program == "cron"]
    ran = cron(by_cron) if by_cron else {}

    def one(pair):
        name, program = pair
        return ran[name] if program == "cron" else PROGRAMS[program](name)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for (name, program), what in zip(asked, pool.map(one, asked)):
            print(name, program, what)
    sys.stdout.flush()


def finish(code):
    """Ends without waiting for anything that still runs."""
    logs = [p.read_text(errors="replace") for p in pathlib.Path("/mnt/out").glob("s*")]
    pathlib.Path(sys.argv[1], "said").write_text("\n".join(said + logs))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


try:
    main()
except Unable as e:
    print(e, file=sys.stderr)
    finish(77)
except Exception as e:  # Whatever it is, the log is wanted with it.
    print(f"{type(e).__name__}: {e}", file=sys.stderr)
    finish(1)
finish(0)
