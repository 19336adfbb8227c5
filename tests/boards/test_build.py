"""The scripts of build/, as far as it goes without a compiler: python3 -m unittest discover tests/boards

What they say when something is missing, that nothing half made is left behind, and what comes out
of a page of doc/.
"""

import gzip
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TREE / "build/lib"))
import board  # noqa: E402
import elf  # noqa: E402
import debs  # noqa: E402
import manpage  # noqa: E402
import qemuuser  # noqa: E402

DEADLINE = 20


class Folder(unittest.TestCase):
    """Each test has a target directory of its own."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.env = dict(os.environ, CARGO_TARGET_DIR=str(self.folder / "target"))

    def script(self, name, *words, path=None):
        env = dict(self.env, PATH=str(path)) if path else self.env
        return subprocess.run([sys.executable, TREE / "build" / name, *words], env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def fails_with(self, done, line):
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr.splitlines()[-1], line)
        self.assertNotIn("Traceback", done.stderr)

    def executable(self, target, size=0):
        """An ELF file in the place of the executable, of this size at least."""
        path = self.folder / "target/boards" / target / "nssbox"
        path.parent.mkdir(parents=True)
        path.write_bytes(Path("/bin/true").read_bytes().ljust(size, b"\0"))
        path.chmod(0o755)
        return path

    def path_with(self, *programs):
        """A PATH with these programs alone."""
        folder = self.folder / "path"
        folder.mkdir()
        for name in programs:
            (folder / name).symlink_to(shutil.which(name))
        return folder


class Missing(Folder):
    def test_an_unknown_target_is_named_with_those_that_there_are(self):
        told = "no such target: toaster (there are: guruplug x86_64 armv7 aarch64 riscv64 mipsel mips)"
        for name in ("cross", "size", "vectors", "deb", "all"):
            self.fails_with(self.script(name, "toaster"), f"{name}: fatal: {told}")
        self.fails_with(self.script("deb", "../targets/guruplug"),
                        "deb: fatal: " + told.replace("toaster", "../targets/guruplug"))

    def test_without_an_executable_the_script_says_which_one_makes_it(self):
        missing = self.folder / "target/boards/mips/nssbox"
        for name in ("size", "vectors", "deb"):
            self.fails_with(self.script(name, "mips"),
                            f"{name}: fatal: {missing} is missing: run build/cross mips first")

    def test_a_missing_program_is_named_with_its_package(self):
        self.executable("guruplug")
        path = self.path_with("git")
        self.fails_with(self.script("deb", "guruplug", path=path),
                        "deb: fatal: dpkg-deb is missing: apt-get install dpkg")
        if not Path("/usr/sbin/qemu-arm-static").exists():
            self.fails_with(self.script("vectors", "guruplug", path=path),
                            "vectors: fatal: qemu-arm-static is missing: apt-get install qemu-user-static")

    @unittest.skipUnless(Path("/usr/bin/rustc").exists(), "no rustc of Debian's")
    def test_a_missing_linker_is_named_with_its_package(self):
        self.fails_with(self.script("cross", "x86_64", path=self.path_with("git")),
                        "cross: fatal: ld.lld is missing: apt-get install lld-22")

    @unittest.skipUnless(Path("/usr/bin/rustc").exists() and shutil.which("ld.lld-22"), "no rustc or lld")
    def test_a_missing_compiler_is_named_with_its_package(self):
        self.fails_with(self.script("cross", "x86_64", path=self.path_with("git", "ld.lld-22")),
                        "cross: fatal: clang is missing: apt-get install clang-22")

    def test_a_bad_line_of_a_target_is_named(self):
        tree = self.folder / "tree"
        (tree / "targets").mkdir(parents=True)
        good = (TREE / "targets/mips").read_text()
        old, board.TREE = board.TREE, tree
        self.addCleanup(setattr, board, "TREE", old)
        for text, why in ((good + "colour red\n", "line 12: unknown, doubled or empty key: colour"),
                          (good + "qemu -\n", "line 12: unknown, doubled or empty key: qemu"),
                          (good.replace("console    -\n", ""), "missing: console"),
                          (re.sub("(?m)^budget .*", "budget 1 MB", good), "budget is no number of bytes: 1 MB")):
            (tree / "targets/mips").write_text(text)
            with self.assertRaises(board.Fatal) as caught:
                board.Target("mips")
            self.assertEqual(str(caught.exception), f"{tree}/targets/mips: {why}")


class Interrupted(Folder):
    def wait_for(self, what, condition):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.01)

    def test_a_killed_download_leaves_nothing_and_the_next_run_cleans_up(self):
        """With an apt-get that hangs in the middle, and then with one that does not."""
        package = self.folder / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "usr").mkdir()
        (package / "usr/file").write_text("all of it\n")
        (package / "DEBIAN/control").write_text(
            "Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: b\n")
        deb = self.folder / "thing_1_all.deb"
        subprocess.run(["dpkg-deb", "--build", package, deb], check=True, stdout=subprocess.DEVNULL)
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        apt = bin_folder / "apt-get"
        self.env["PATH"] = f"{bin_folder}:{self.env['PATH']}"

        def download(line):
            apt.write_text(f'#!/bin/sh\ncase "$*" in *download*) {line} ;; esac\n')
            apt.chmod(0o755)
            code = f"import sys; sys.path.insert(0, {str(TREE / 'build/lib')!r}); sys.dont_write_bytecode = True; " \
                   "import debs; print(debs.unpacked('thing', 'all'))"
            return subprocess.Popen([sys.executable, "-c", code], env=self.env, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    start_new_session=True)
        folder = self.folder / "target/cross/debs"
        running = download("echo half > thing_1_all.deb; exec sleep 1000")
        self.wait_for("a download", lambda: list(folder.glob(".*/download/thing_1_all.deb")))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        self.assertFalse((folder / "thing_all").exists())
        done, _ = download(f"cp {deb} .").communicate(timeout=DEADLINE)
        self.assertEqual(done.strip(), str(folder / "thing_all"))
        self.assertEqual(sorted(os.listdir(folder)), ["thing_all"])
        self.assertEqual((folder / "thing_all/usr/file").read_text(), "all of it\n")
        self.assertEqual(sorted(os.listdir(folder / "thing_all")), ["usr"])

    def test_what_fails_leaves_the_old_file_as_it_is(self):
        path = self.folder / "file"
        path.write_text("old")
        with self.assertRaises(KeyboardInterrupt), board.staged(path) as new:
            new.write_text("half")
            raise KeyboardInterrupt
        self.assertEqual((os.listdir(self.folder), path.read_text()), (["file"], "old"))


class Budget(Folder):
    def test_over_it_the_table_is_printed_and_the_exit_code_is_1(self):
        budget = int(board.Target("mips").budget)
        path = self.executable("mips", budget + 1)
        done = self.script("size", "mips")
        self.fails_with(done, "size: fatal: over budget: mips")
        self.assertIn(f"total    nssbox{' ' * 31}{budget + 1:>10,}", done.stdout)
        path.write_bytes(path.read_bytes()[:budget])
        done = self.script("size", "mips")
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Features(Folder):
    def test_applets_are_those_of_the_table_with_what_they_need(self):
        self.assertEqual(board.applets("with-nscd,id"), ["id", "nscd", "with-nscd"])
        # What no board gets.
        tools = ["dt", "dtcompact", "dthost", "dtstatus", "nsscache", "sv", "svstat", "vsv"]
        self.assertEqual(board.applets("default"), sorted(board.applets("small") + tools + ["userdb"]))
        done = self.script("applets", "small")
        self.assertEqual((done.returncode, done.stdout.split()), (0, board.applets("small")))
        # A row without a feature, or a feature that is misspelt, would be missing.
        rows = re.findall(r"(?m)^    \w+: \"", (TREE / "src/applets/mod.rs").read_text())
        self.assertEqual(len(board.applets(",".join(board.manifest()["features"]))), len(rows))


class Sources(Folder):
    def test_the_machines_lists_name_the_same_servers_sources(self):
        etc, made = self.folder / "apt", self.folder / "made"
        (etc / "sources.list.d").mkdir(parents=True)
        (etc / "sources.list").write_text("# deb x\ndeb [arch=amd64] http://a/debian b main\ndeb-src http://c d e\n")
        (etc / "sources.list.d/f.sources").write_text("Types: deb deb-src\nURIs: http://deb/debian\n")
        (etc / "sources.list.d/old.save").write_text("deb http://g h i\n")
        old, debs.ETC = debs.ETC, etc
        self.addCleanup(setattr, debs, "ETC", old)
        debs.Apt.name_sources(made)
        self.assertEqual(sorted(os.listdir(made)), ["f.sources", "sources.list"])
        self.assertEqual((made / "sources.list").read_text(),
                         "# deb x\ndeb-src [arch=amd64] http://a/debian b main\ndeb-src http://c d e\n")
        self.assertEqual((made / "f.sources").read_text(), "Types: deb-src\nURIs: http://deb/debian\n")


@unittest.skipUnless(shutil.which("dpkg-deb"), "no dpkg-deb")
class Package(Folder):
    def test_it_is_the_same_twice_and_takes_no_name_of_another_package(self):
        self.executable("armv7")
        self.env.update(SOURCE_DATE_EPOCH="1700000000", DEBFULLNAME="A B", DEBEMAIL="a@example.org")
        first = self.script("deb", "armv7")
        self.assertEqual(first.returncode, 0, first.stderr)
        path = Path(first.stdout.strip())
        self.assertTrue(path.name.startswith("nssbox-small_"), path)
        content = path.read_bytes()
        path.unlink()
        os.utime(self.folder / "target/boards/armv7/nssbox")
        self.assertEqual(Path(self.script("deb", "armv7").stdout.strip()).read_bytes(), content)
        told = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE, check=True)
        names = subprocess.run(["tar", "-t"], input=told.stdout, stdout=subprocess.PIPE, check=True)
        names = {Path(name).as_posix() for name in names.stdout.decode().split()}
        for name in ("getent", "groups", "id", "nscd", "whoami"):
            self.assertIn(f"usr/lib/nssbox/bin/{name}", names)
            for other in ("usr/bin", "usr/sbin", "bin", "sbin"):
                self.assertNotIn(f"{other}/{name}", names)
            self.assertFalse({f"usr/share/man/man{s}/{name}.{s}.gz" for s in "18"} & names)
        for name in ("nsssd-unix", "nsssd-switch", "nsssd-map", "nsssd-nslcd", "ipcserver", "with-nscd"):
            self.assertIn(f"usr/bin/{name}", names)
        # Each applet has a page, and nothing runs at installation.
        applets = {name.rsplit("/", 1)[1] for name in names if name.startswith("usr/lib/nssbox/bin/")}
        pages = {name.rsplit("/", 1)[1].split(".")[0] for name in names if "/man/man" in name and name.endswith(".gz")}
        self.assertEqual(applets, set(board.applets("small")))
        self.assertLessEqual(applets | {"nssbox"}, pages)
        self.assertIn("usr/share/man/man5/nssmap.conf.5.gz", names)
        # Where README leads to, there is something.
        folder = self.folder / "unpacked"
        subprocess.run(["dpkg-deb", "-x", path, folder], check=True)
        documents = folder / "usr/share/doc/nssbox-small"
        links = re.findall(r"\]\((?!\w+:)([^)#]+)", (documents / "README.md").read_text())
        self.assertGreater(len(links), 15)
        for name in links:
            self.assertTrue((documents / name).exists(), name)
        # What the executable has not is no service.
        units = sorted(path.name for path in (folder / "lib/systemd/system").iterdir())
        self.assertEqual(units, ["nssbox-nscd.service", "nsssd.service", "nsssd.socket"])
        # Where a page leads to, too.
        page = gzip.decompress((folder / "usr/share/man/man8/nscd.8nssbox.gz").read_bytes()).decode()
        self.assertIn("/usr/share/doc/nssbox\\-small/doc/", page)
        control = subprocess.run(["dpkg-deb", "-I", path], stdout=subprocess.PIPE, text=True, check=True)
        self.assertNotRegex(control.stdout, "postinst|preinst|postrm|prerm")


class Pages(Folder):
    def test_marks_become_fonts_and_nothing_becomes_a_request(self):
        page = manpage.page("# x\n\nDoes *it*. More.\n\n## Options\n\n- `-a`: see [y](y.md)\n  or not\n\n"
                            ".dot 'quote'\n\n    .code\n\n| a | b |\n|---|---|\n| `c\\|d` | e |\n",
                            "x", "8", "2020-01-01", {"y": "1"})
        lines = page.splitlines()
        self.assertEqual(lines[0], "'\\\" t")
        self.assertIn("x \\- does it", lines)
        self.assertIn("\\fB\\-a\\fR: see \\fBy\\fR(1) or not", lines)
        self.assertIn("\\&.dot \\(aqquote\\(aq", lines)
        self.assertIn("\\&.code", lines)
        self.assertIn("\\fBc|d\\fR", lines)

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "no man and groff")
    def test_man_has_no_complaint_about_any_page(self):
        texts = {path.stem: path.read_text() for path, _ in manpage.pages(TREE / "doc", board.applets("small"))}
        texts.update((name, manpage.about_file(name, TREE / "doc")) for name in manpage.FILES)
        self.assertIn("## The second format", texts["nssmap.conf"])
        for path, text in texts.items():
            page = self.folder / f"{path}.8"
            page.write_text(manpage.page(text, path, "8", "2020-01-01", {}))
            done = subprocess.run(["man", "--warnings", "-l", page], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=True,
                                  env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", MANROFFOPT=""))
            self.assertEqual(done.stderr, "", path)
            self.assertNotIn("**", done.stdout.replace("/**", ""), path)


class Aligned(Folder):
    def program(self, machine, address, align):
        """An ELF file of 32 bits with a section of code, and one of names."""
        names = b"\0.init\0.shstrtab\0"
        rows = [(0,) * 10, (1, 1, 2 | 4, address, 52, 4, 0, 0, align, 0),
                (7, 3, 0, 0, 56, len(names), 0, 0, 1, 0)]
        at = 56 + len(names)
        head = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
            "<HHIIIIIHHHHHH", 2, machine, 1, 0, 0, at, 0, 52, 0, 0, 40, len(rows), 2)
        table = b"".join(struct.pack("<IIIIIIIIII", *row) for row in rows)
        return elf.Elf(head + bytes(4) + names + table, "x")

    def test_code_that_starts_by_luck_is_refused(self):
        arm, x86 = 40, 3
        self.program(arm, 0x1000, 4).check_alignment("x")
        self.program(x86, 0x1001, 1).check_alignment("x")
        for address, align in ((0x1002, 1), (0x1002, 2), (0x1000, 1)):
            with self.assertRaisesRegex(board.Fatal, "x: .init is at 0x100"):
                self.program(arm, address, align).check_alignment("x")

    @unittest.skipUnless(shutil.which("qemu-arm-static") and (TREE / "target/cross/musl").exists(),
                         "no qemu-arm-static, or nothing was built by build/cross")
    def test_two_bytes_more_in_front_and_it_starts_all_the_same(self):
        # Thumb code is two bytes long: then .text ends off the border of ARM code, whose .init is next.
        target = os.environ.get("CARGO_TARGET_DIR", str(TREE / "target"))
        for nops in (1, 2):
            source, first = self.folder / "first.s", self.folder / f"first{nops}.o"
            source.write_text(".syntax unified\n.thumb\n.text\n" + "nop\n" * nops)
            subprocess.run([board.newest("clang", "clang-22"), "--target=armv5te-linux-musleabi", "-c",
                            source, "-o", first], check=True)
            program = self.folder / f"nssbox{nops}"
            subprocess.run([TREE / "build/cross", "guruplug", "--first", first, "-o", program], check=True,
                           env=dict(os.environ, CARGO_TARGET_DIR=target), stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            done = subprocess.run(["qemu-arm-static", program, "--version"], stdout=subprocess.PIPE,
                                  text=True, check=False)
            self.assertEqual((done.returncode, done.stdout[:7]), (0, "nssbox "))


class Linked(unittest.TestCase):
    def test_times_that_end_in_2038_are_told_by_the_map(self):
        row = "   e4cc4    e4cc4       78     4         /x/musl/mips-1.2.3/libc.a({}.o):(.text.{})\n"
        rows = [row.format(*names) for names in (
            ("stat_time32", "stat"), ("clock_gettime32", "clock_gettime"), ("clock_gettime32", "y"),
            ("clock_gettime", "__clock_gettime64"), ("crc32x", "crc"))]
        self.assertEqual(elf.short_times("".join(rows)), ["clock_gettime32", "stat_time32"])


class Emulated(Folder):
    def test_the_kernels_rule_tells_processors_apart(self):
        path = self.folder / "big"
        path.write_bytes(b"\x7fELF\x01\x02\x01" + bytes(9) + b"\0\x02\0\x08" + bytes(32))
        rule = qemuuser.rule(path, "/run/it")
        _, name, kind, offset, magic, mask, program, flags = rule.split(":")
        self.assertEqual((name, kind, offset, program, flags), ("nssbox", "M", "", "/run/it", "P"))
        self.assertTrue(magic.endswith("\\x00\\x02\\x00\\x08"), magic)
        self.assertTrue(mask.endswith("\\xff\\xfe\\xff\\xff"), mask)


if __name__ == "__main__":
    unittest.main()
