"""What the scripts in build/ share: targets, messages, files that appear whole or not at all."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
KEYS = "board triple libc debian rustflags features qemu budget kernel machine console".split()
SCRIPT = Path(sys.argv[0]).name


class Fatal(Exception):
    """Ends the script with one line on standard error, exit code 1."""


def say(text):
    """Tells what is being done, on standard error: standard output is for results."""
    print(f"{SCRIPT}: {text}", file=sys.stderr, flush=True)


def main(run):
    """Runs a script's main function and turns what goes wrong into one line."""
    # A request to end is an exception here, so that temporary files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        sys.exit(run())
    except Fatal as error:
        print(f"{SCRIPT}: fatal: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"{SCRIPT}: fatal: interrupted", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        print(f"{SCRIPT}: fatal: {error}", file=sys.stderr)
    sys.exit(1)


class Target:
    """One file of targets/, its keys as attributes; `-` is the empty string."""

    def __init__(self, name):
        self.name = name
        path = TREE / "targets" / name
        if name not in names():
            raise Fatal(f"no such target: {name} (there are: {' '.join(names())})")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            key, _, value = line.strip().partition(" ")
            if not key or key.startswith("#"):
                continue
            if key not in KEYS or hasattr(self, key) or not value.strip():
                raise Fatal(f"{path}: line {number}: unknown, doubled or empty key: {key}")
            setattr(self, key, "" if value.strip() == "-" else value.strip())
        missing = [key for key in KEYS if not hasattr(self, key)]
        if missing:
            raise Fatal(f"{path}: missing: {' '.join(missing)}")
        if not self.budget.isdigit():
            raise Fatal(f"{path}: budget is no number of bytes: {self.budget}")

    def out(self, *parts):
        """A file that is made for this target; its folder exists."""
        path = output("boards", self.name, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def applets(self):
        """What its executable can be called as."""
        return applets(self.features)

    def executable(self):
        """What build/cross made."""
        path = self.out("nssbox")
        if not path.exists():
            raise Fatal(f"{path} is missing: run build/cross {self.name} first")
        return path


# A row of the table in src/applets/mod.rs: the module, and the name.
ROW = re.compile(r'^ +\w+: "([\w-]+)"( or |,)', re.M)


def manifest():
    """Cargo.toml."""
    return tomllib.loads((TREE / "Cargo.toml").read_text())


def enabled(features):
    """The features that these bring (separated by commas, as cargo takes them), themselves included."""
    known, found, todo = manifest()["features"], set(), features.split(",")
    while todo:
        name = todo.pop()
        # `dep:CRATE` and `CRATE/FEATURE` are about libraries.
        if name in known and name not in found:
            found.add(name)
            todo += known[name]
    return found


def applets(features):
    """The applets of a build with these features, sorted: those of the table that they name."""
    table = (TREE / "src/applets/mod.rs").read_text().partition("\napplets! {\n")[2].partition("\n}\n")[0]
    found = enabled(features)
    return [name for name, _ in ROW.findall(table) if name in found]


def names():
    """All targets, those that CI builds first."""
    order = "guruplug x86_64 armv7 aarch64 riscv64 mipsel mips".split()
    found = [path.name for path in (TREE / "targets").iterdir() if "." not in path.name]
    return sorted(found, key=lambda n: (order.index(n) if n in order else len(order), n))


def arguments(text):
    """An argument parser that shows a script's docstring as its help."""
    parser = argparse.ArgumentParser(prog=SCRIPT, description=text,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    return parser


def output(*parts):
    """A path below cargo's target directory."""
    base = os.environ.get("CARGO_TARGET_DIR")
    return (Path(base).resolve() if base else TREE / "target").joinpath(*parts)


def need(program, package):
    """The path of a program, or the line that says how to get it."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Fatal(f"{program} is missing: apt-get install {package}")
    return found


def newest(program, package):
    """The path of the newest of a program's versions that Debian names by number."""
    for name in (f"{program}-22", f"{program}-21", f"{program}-20", program):
        if shutil.which(name):
            return shutil.which(name)
    raise Fatal(f"{program} is missing: apt-get install {package}")


def run(command, **options):
    """Runs a program; if it fails, that is fatal."""
    done = subprocess.run([str(word) for word in command], **options)
    if done.returncode != 0:
        raise Fatal(f"{Path(str(command[0])).name} failed with exit code {done.returncode}")
    return done


@contextlib.contextmanager
def staged(path):
    """A temporary name beside `path`, renamed onto it if all goes well and removed if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{path.name}.*.new"):
        # Of a run that was killed; not of one that is still at work.
        owner = re.search(r"\.(\d+)\.new$", old.name)
        if owner and not Path("/proc", owner[1]).exists():
            remove(old)
    temporary = path.parent / f".{path.name}.{os.getpid()}.new"
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            remove(path)
        temporary.rename(path)
    except OSError as error:
        # A write that fails (the disk is full) does not say where.
        if error.filename:
            raise
        raise Fatal(f"unable to write {path}: {error.strerror}") from None
    finally:
        remove(temporary)


def remove(path):
    """Removes a file or a folder with all it holds, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def workfolder():
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"nssbox-{SCRIPT}.") as path:
        yield Path(path)


def commit():
    """The commit of the tree, with + for changes that are not in it; `unknown` outside git."""
    def git(*words):
        return subprocess.run(["git", "-C", str(TREE), *words], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
    try:
        head = git("rev-parse", "--short=10", "HEAD")
        changes = git("status", "--porcelain", "--untracked-files=no")
    except FileNotFoundError:
        return "unknown"
    return head.stdout.strip() + ("+" if changes.stdout else "") if head.returncode == 0 else "unknown"
