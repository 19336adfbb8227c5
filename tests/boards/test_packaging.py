"""What packages and releases are made with, without making one: python3 -m unittest discover tests/boards"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TREE / "build/lib"))
import board  # noqa: E402
import completion  # noqa: E402
import debian  # noqa: E402
import ecosystems  # noqa: E402
import source  # noqa: E402
import tree  # noqa: E402

HELP = """\
Usage: tool [-x] [-n FILE|-u NAME|-l [LIST]] PATTERN
   or: tool serve [-r]
Does things to -z and a-b.

  -D [FORMAT:]FILE   hosts (~/.db; -: stdin); FORMAT:
                     one of two
  -l USER            log in as USER                 -h COMMAND  more
  -S, --ask SOCKET  where
  -U         -x, -u from the environment
  --max N[%]    no more then   --all   of them
  --db[=FILE]  there
As others: -i TABLE, -K, -g alone.

  update        fetches it all
  passwd group: from the server
"""


class Completions(unittest.TestCase):
    def setUp(self):
        self.command = completion.parse(HELP)
        self.options = {option.name: option for option in self.command.options}

    def test_options_are_found_where_help_texts_have_them(self):
        self.assertEqual(sorted(self.options), sorted(
            "-D -l -h -S --ask -U --max --all --db -i -K -g -x -n -u -r --help --version".split()))
        for name, argument in (("-D", "[FORMAT:]FILE"), ("-h", "COMMAND"), ("-S", "SOCKET"), ("--ask", "SOCKET"),
                               ("--max", "N[%]"), ("-i", "TABLE"), ("-n", "FILE"), ("-K", ""), ("--all", "")):
            self.assertEqual(self.options[name].argument, argument, name)
        self.assertTrue(self.options["--db"].attached)
        self.assertEqual(self.options["-D"].about, "hosts (~/.db; -: stdin); FORMAT: one of two")
        self.assertEqual(self.options["-U"].about, "-x, -u from the environment")

    def test_words_are_found_with_what_they_are(self):
        self.assertEqual(self.command.words, {"update": "fetches it all", "passwd": "", "group": ""})

    def test_nothing_in_a_text_means_anything_to_a_shell(self):
        option = completion.Option("-x", "FILE", about="it's [a] $(b) `c`: \\d")
        self.assertEqual(completion.quoted(completion.spec(option)),
                         "'*-x[it'\\''s \\[a\\] $(b) `c`\\: \\\\d]:FILE:_files'")


class Services(unittest.TestCase):
    def test_what_a_file_for_a_supervisor_starts_is_known(self):
        for path, wanted in (("systemd/nssbox-userdb.service", {"userdb", "nsssd-unix"}),
                             ("systemd/nsssd.service", {"ipcserver", "nsssd-switch", "nsssd-unix"}),
                             ("openrc/nssbox-nscd", {"nsssd-unix"}), ("runit/nscd/run", {"nscd", "nsssd-unix"}),
                             ("procd/nscd", {"nscd", "nsssd-unix"}), ("systemd/nsssd.socket", set())):
            self.assertLessEqual(wanted, tree.started((TREE / "doc/examples" / path).read_text()), path)

    def test_all_folders_of_examples_are_installed_by_name(self):
        folders = {path.name for path in (TREE / "doc/examples").iterdir() if path.is_dir()}
        self.assertEqual(folders, {folder for folder, _ in tree.KINDS.values()} | {"inittab", "fleet"})
        lines = {path.name for path in (TREE / "doc/examples/inittab").iterdir()}
        self.assertEqual(lines, set(tree.INITTABS))


class Released(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def packed(self, name, umask):
        old = os.umask(umask)
        self.addCleanup(os.umask, old)
        root = self.folder / name / "it"
        (root / "b").mkdir(parents=True)
        (root / "b/file").write_text("text\n")
        (root / "a").write_text("#!/bin/sh\n")
        (root / "a").chmod(0o777 & ~umask)
        (root / "c").symlink_to("b/file")
        source.pack(root, self.folder / f"{name}.tar.xz", 1700000000)
        os.umask(old)
        return hashlib.sha256((self.folder / f"{name}.tar.xz").read_bytes()).hexdigest()

    def test_a_tarball_is_the_same_by_any_umask_and_folder(self):
        self.assertEqual(self.packed("one", 0o022), self.packed("another", 0o077))
        unpacked = source.unpack(self.folder / "one.tar.xz", self.folder)
        self.assertEqual((unpacked / "c").read_text(), "text\n")
        self.assertEqual((unpacked / "a").stat().st_mode & 0o777, 0o755)

    def test_all_words_of_packaging_are_filled_in(self):
        tarball = self.folder / "t.tar.xz"
        tarball.write_bytes(b"x")
        commit = debian.Commit.__new__(debian.Commit)
        commit.day, commit.maintainer, commit.version, commit.time = "2026-01-01", "A B <a@example.org>", "1-1", 0
        filled = ecosystems.words(tarball, "https://example.org", commit)
        for name in ecosystems.names():
            ecosystems.fill(self.folder / name, name, filled)
            for path in (path for path in (self.folder / name).rglob("*") if path.is_file()):
                self.assertNotRegex(path.read_text(), r"@[A-Z][A-Z_]+@", path)
                self.assertNotIn("VERSION", path.name)
        ecosystems.manifest(self.folder / "gentoo", tarball)
        self.assertIn(f"DIST t.tar.xz 1 BLAKE2B {hashlib.blake2b(b'x').hexdigest()} SHA512",
                      (self.folder / "gentoo/sys-auth/nssbox/Manifest").read_text())
        known = filled.pop("SITE")
        with self.assertRaisesRegex(board.Fatal, "nothing is known of @SITE@"):
            ecosystems.fill(self.folder / "again", "yocto", filled)
        self.assertEqual(known, "https://example.org")

    def test_no_folder_of_packaging_lists_applets(self):
        # Those of the table: what a new one is called is known to no recipe. (Descriptions may.)
        for path in (path for path in ecosystems.FOLDER.rglob("*") if path.is_file() and path.suffix != ".md"):
            text = re.sub(r"(?m)^ .*$|#.*$|longdescription.*?/longdescription", "", path.read_text(), flags=re.S | re.M)
            found = {name for name in board.applets("default") if re.search(rf"--features.*\b{name}\b", text)}
            self.assertEqual(found, set(), path)

    def test_what_is_no_release_is_refused(self):
        done = subprocess.run([sys.executable, TREE / "build/release", "9.9.9"], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        version = board.manifest()["package"]["version"]
        self.assertRegex(done.stderr.splitlines()[-1],
                         f"Cargo.toml has version {version}, and not 9.9.9|the tree is not clean|this is no git tree")

    def test_every_ecosystem_has_a_page_of_some_ten_lines(self):
        for name in ecosystems.names():
            lines = (ecosystems.FOLDER / name / "README.md").read_text().splitlines()
            self.assertLessEqual(len(lines), 13, name)


if __name__ == "__main__":
    unittest.main()
