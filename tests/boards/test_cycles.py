"""The modules of src/ form no circles: python3 -m unittest discover tests/boards"""

import sys
import tempfile
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TREE / "build/lib"))
import cycles  # noqa: E402

class Cycles(unittest.TestCase):
    def found(self, files):
        """The circles of a crate of these files, as their modules."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return [(parent, group) for parent, group, _ in cycles.cycles(Path(folder))]

    def test_the_source_has_none(self):
        found = [parent for parent, _, _ in cycles.cycles(TREE / "src")]
        self.assertEqual(found, [])

    def test_siblings_that_need_each_other_are_a_circle(self):
        files = {"lib.rs": "", "a.rs": "use crate::b::B;", "b.rs": "fn f() { crate::a::f() }"}
        self.assertEqual(self.found(files), [("crate", ["a", "b"])])

    def test_a_circle_may_be_long_and_go_by_way_of_parts(self):
        files = {
            "lib.rs": "",
            "m/mod.rs": "",
            "m/a/mod.rs": "",
            "m/a/part.rs": "use super::super::{b::{B, C}, x::X};",
            "m/b.rs": "use super::c;",
            "m/c.rs": "use crate::m::a;",
            "m/x.rs": "",
        }
        self.assertEqual(self.found(files), [("m", ["a", "b", "c"])])

    def test_a_module_and_its_part_may_know_each_other(self):
        files = {"lib.rs": "", "a/mod.rs": "use self::part::P;", "a/part.rs": "use super::A;"}
        self.assertEqual(self.found(files), [])

    def test_comments_strings_and_unit_tests_need_nothing(self):
        files = {
            "lib.rs": "",
            "a.rs": "use crate::b::B;",
            "b.rs": '// crate::a\nconst T: &str = "crate::a";\n#[cfg(test)]\nmod tests {\nuse crate::a;\n}',
        }
        self.assertEqual(self.found(files), [])


if __name__ == "__main__":
    unittest.main()
