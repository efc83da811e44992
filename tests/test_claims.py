"""The ledger: verdicts come from stored numbers alone, and change when those change."""

from dataclasses import replace

import pytest

from src.claims import BY_ID, CLAIMS, Claim, claim_table, ledger, measured, verdict
from src.metrics import Interval

ABOVE = Claim("x", "01", "rises", "rise", True, 0.1)
BELOW = Claim("y", "01", "falls", "fall", False, -0.1)


def found(low, high, seeds=5):
    return {"effect": (low + high) / 2, "low": low, "high": high, "seeds": seeds}


@pytest.mark.parametrize(
    ("claim", "low", "high", "expected"),
    [
        (ABOVE, 0.2, 0.4, "supported"),
        (ABOVE, 0.05, 0.4, "inconclusive"),
        (ABOVE, -0.3, 0.0, "not supported"),
        (BELOW, -0.4, -0.2, "supported"),
        (BELOW, -0.2, 0.2, "inconclusive"),
        (BELOW, 0.0, 0.3, "not supported"),
    ],
)
def test_verdict_follows_the_interval(claim, low, high, expected):
    assert verdict(claim, found(low, high)) == expected


@pytest.mark.parametrize("claim", [ABOVE, BELOW])
@pytest.mark.parametrize(("low", "high"), [(None, 0.4), (-0.4, None), (None, None)])
def test_an_interval_that_could_not_be_computed_leaves_it_open(claim, low, high):
    for gap in (None, float("nan")):  # NaN in the notebook, null once it is saved
        ends = {"low": gap if low is None else low, "high": gap if high is None else high}
        assert verdict(claim, ends | {"effect": gap, "seeds": 5}) == "inconclusive"
        [row] = claim_table({"degenerate": ends | {"effect": gap, "seeds": 5}})
        assert row["effect [95 % interval]"].startswith("– [") and row["verdict"] == "inconclusive"


def test_too_few_seeds_leave_it_open():
    assert verdict(ABOVE, found(0.2, 0.4, seeds=2)) == "inconclusive"


def test_a_count_needs_no_seeds():
    counted = replace(ABOVE, exact=True)
    assert verdict(counted, found(0.2, 0.2, seeds=1)) == "supported"
    assert verdict(counted, found(-0.2, -0.2, seeds=1)) == "not supported"


def test_changing_a_result_changes_the_ledger():
    metrics = {"stage2_instruction": {"claims": {"degenerate": found(0.1, 0.3)}}}
    assert [row["verdict"] for row in ledger(metrics)] == ["supported"]
    metrics["stage2_instruction"]["claims"]["degenerate"] = found(-0.3, -0.1)
    assert [row["verdict"] for row in ledger(metrics)] == ["not supported"]


def test_ledger_keeps_course_order_and_refuses_unknown_claims():
    rows = ledger(
        {"b": {"claims": {"rm_accuracy": found(0.7, 0.8)}}, "a": {"claims": {"overfits": found(0.1, 0.2)}}}
    )
    assert [row["notebook"] for row in rows] == ["01", "07"]
    with pytest.raises(KeyError, match="nonsense"):
        ledger({"a": {"claims": {"nonsense": found(0, 1)}}})


def test_ids_are_unique_and_measured_keeps_the_interval():
    assert len(BY_ID) == len(CLAIMS)
    assert measured(Interval(0.1, 0.2, 0.3), 4) == {"effect": 0.2, "low": 0.1, "high": 0.3, "seeds": 4}
