"""Imports in src/ run one way, so that a reader can begin anywhere and read on upwards; and importing stays light where it must."""

from graphlib import TopologicalSorter

from src.config import ROOT
from src.fingerprint import imported_modules

FIRST = {
    "schema",
    "runtime",
    "jsonio",
    "locks",
    "templates",
    "lab.relation",
    "lab.stories",
}  # lean on nothing


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


def test_the_lab_world_leans_on_nothing_outside_but_to_train_and_test_its_base_model():
    outside = {
        name: {other for other in names if not other.startswith("lab")}
        for name, names in imports().items()
        if name.startswith("lab.")
    }
    assert {name for name, names in outside.items() if names} == {"lab.pretrain", "lab.report_card"}


def test_the_first_command_needs_nothing_installed():
    assert imports()["quickstart"] == set()
