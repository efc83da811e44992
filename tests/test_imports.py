"""The shape of the code: imports in src/ run one way, in the order that README gives, and every numbered invariant has its test."""

import re
from graphlib import TopologicalSorter

from src.config import ROOT
from src.fingerprint import imported_modules

# lean on nothing
FIRST = {"schema", "runtime", "jsonio", "locks", "templates", "lab.relation", "lab.stories"}


def imports():
    """Module below src -> the modules that it imports. A module of `src.lab` runs that package's `__init__` in any case."""
    found = {}
    for file in sorted((ROOT / "src").rglob("*.py")):
        parts = file.relative_to(ROOT / "src").with_suffix("").parts
        if file.name != "__init__.py":
            home = ".".join(["src", *parts[:-1]])
            names = imported_modules(file.read_text(encoding="utf-8"), package=home)
            found[".".join(parts)] = names - ({"lab"} if parts[0] == "lab" else set())
    found["lab"] = {
        name for name in found if name.startswith("lab.") and name not in ("lab.pretrain", "lab.report_card")
    }
    return found


def test_no_module_imports_one_that_leans_on_it():
    order = list(TopologicalSorter(imports()).static_order())  # CycleError names the modules of a circle
    assert len(order) == len(imports()) and order.index("losses") < order.index("sft") < order.index(
        "augment"
    )
    assert {name for name, names in imports().items() if not names} >= FIRST


def test_the_reading_order_of_the_readme_names_each_module_behind_all_that_it_imports():
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("in reading order;", 1)[1].split("```")[1]
    order = [
        name
        for line in block.strip().splitlines()
        for name in re.split(r"\s{2,}", line, maxsplit=1)[1].split()
    ]
    found = {name: names for name, names in imports().items() if not name.startswith("lab")}
    assert sorted(order) == sorted(found)
    for name, names in found.items():
        outside = {other for other in names if not other.startswith("lab")}
        assert all(order.index(other) < order.index(name) for other in outside), name


def test_all_thirty_invariants_have_a_test():
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("test_*.py"))
    assert {int(number) for number in re.findall(r"def test_inv(\d\d)_", text)} == {*range(1, 31)}


def test_the_lab_world_leans_on_nothing_outside_but_to_train_and_test_its_base_model():
    outside = {
        name: {other for other in names if not other.startswith("lab")}
        for name, names in imports().items()
        if name.startswith("lab.")
    }
    assert {name for name, names in outside.items() if names} == {"lab.pretrain", "lab.report_card"}


def test_the_first_command_needs_nothing_installed():
    assert imports()["quickstart"] == set()
