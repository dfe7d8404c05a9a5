"""docs/statistics.md says what the functions say."""

import math
import re
from pathlib import Path

import pytest

from fairlead.stats.planning import PlannedStep, Rates, clean_answers_needed, requests_to_decide
from fairlead.stats.share import Stretch, log_e

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "statistics.md").read_text()


def row(name):
    """The cells behind a row's name."""
    return re.search(rf"^\| {re.escape(name)} \| (.*) \|$", PAGE, re.MULTILINE)[1].split(" | ")


def failures_needed(share, stable, alpha):
    return next(k for k in range(1, 100) if log_e([Stretch(share, k, stable)], 1.25) >= math.log(1 / alpha))


def test_the_page_tells_how_many_answers_a_limit_needs():
    limits = [float(cell.removesuffix(" %")) / 100 for cell in row("limit")]
    assert [int(cell) for cell in row("answers")] == [clean_answers_needed(limit, 0.05) for limit in limits]


@pytest.mark.parametrize("percent", [1, 5])
def test_the_page_tells_how_long_it_takes_to_show_that_nothing_is_worse(percent):
    rates = Rates(percent / 100, percent / 100)
    expected = [requests_to_decide([PlannedStep(0.5, 1)], rates, margin, 0.05, "safety") for margin in (1.25, 1.5, 2)]
    assert [int(cell.replace(",", "")) for cell in row(f"of {percent} %")] == expected


@pytest.mark.parametrize("percent", [1, 5, 10, 25, 50])
def test_the_page_tells_how_many_failures_are_a_proof(percent):
    expected = [failures_needed(percent / 100, stable, alpha) for alpha in (0.05, 0.0125) for stable in (0, 1, 2)]
    assert [int(cell) for cell in row(f"{percent} %")] == expected


def test_up_to_a_tenth_three_failures_are_a_proof_for_eight_guardrails():
    assert all(failures_needed(share, 0, 0.05 / 8) <= 3 for share in (0.001, 0.01, 0.05, 0.1))
