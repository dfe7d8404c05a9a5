"""The share e-process against its definition, event by event, and against an exact interval."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from fairlead.errors import InvalidInput
from fairlead.stats import share
from fairlead.stats.share import Stretch, log_e, log_e_of_change, log_e_paths, rate_ratio

TOWARDS = {"harm": 1, "safety": -1}


def chance(rho, delta):
    """That an event is the candidate's: the definition in the module's docstring."""
    return rho * math.exp(delta) / (1 - rho + rho * math.exp(delta))


def event_by_event(events, margin, direction):
    """E as a plain sum of plain products over (share, is it the candidate's)."""
    start = math.log(margin)
    evidence = 0.0
    for g, log_weight in zip(share._GRID, share._LOG_WEIGHTS, strict=True):
        product = math.exp(log_weight)
        for rho, ours in events:
            before, after = chance(rho, start), chance(rho, start + direction * g)
            product *= after / before if ours else (1 - after) / (1 - before)
        evidence += product
    return evidence


def counted(events):
    shares = sorted({rho for rho, _ in events})
    return [
        Stretch(rho, sum(ours for r, ours in events if r == rho), sum(not ours for r, ours in events if r == rho))
        for rho in shares
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("question", ["harm", "safety"])
def test_the_sums_of_a_step_say_the_same_as_the_product_over_its_events(seed, question):
    random = np.random.default_rng(seed)
    events = [(float(random.choice([0.01, 0.1, 0.5])), bool(random.random() < 0.4)) for _ in range(60)]
    expected = math.log(event_by_event(events, 1.25, TOWARDS[question]))
    assert log_e(counted(events), 1.25, question) == pytest.approx(expected, abs=1e-9)


def test_the_two_sided_evidence_is_the_mean_of_both_sides():
    stretches = [Stretch(0.1, 7, 20), Stretch(0.5, 9, 3)]
    both = (math.exp(log_e(stretches, 1.0, "harm")) + math.exp(log_e(stretches, 1.0, "safety"))) / 2
    assert log_e(stretches, 1.0, "difference") == pytest.approx(math.log(both), abs=1e-12)


def expected_evidence(function, question, true_ratio, shares=(0.05, 0.05, 0.1, 0.25, 0.5, 0.5, 0.5)):
    """The mean of E over every history of seven events there can be, weighed by its chance."""
    mean = 0.0
    for history in itertools.product([True, False], repeat=len(shares)):
        weight = 1.0
        for rho, ours in zip(shares, history, strict=True):
            weight *= chance(rho, math.log(true_ratio)) if ours else 1 - chance(rho, math.log(true_ratio))
        stretches = counted(list(zip(shares, history, strict=True)))
        mean += weight * math.exp(function(stretches, 1.25, question))
    return mean


@pytest.mark.parametrize("function", [log_e, log_e_of_change])
@pytest.mark.parametrize("question", ["harm", "safety", "difference"])
def test_at_the_margin_the_evidence_is_one_in_the_mean(function, question):
    # Exact, by enumeration: it is what makes P(ever >= 1/alpha) <= alpha (Ville).
    assert expected_evidence(function, question, 1.25) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("function", [log_e, log_e_of_change])
@pytest.mark.parametrize(("question", "true_ratio"), [("harm", 1.0), ("harm", 0.2), ("safety", 1.5), ("safety", 9.0)])
def test_within_the_null_the_evidence_is_less_in_the_mean(function, question, true_ratio):
    assert expected_evidence(function, question, true_ratio) < 1


@pytest.mark.parametrize("guardrails", [1, 2, 3, 4])
@pytest.mark.parametrize("rho", [0.01, 0.05, 0.1])
def test_a_candidate_that_fails_everything_is_caught_at_its_third_failure(rho, guardrails):
    # As long as the stable version has not failed meanwhile, at a margin of 1.25 and alpha = 5 % divided by the guardrails.
    assert log_e([Stretch(rho, 3, 0)], 1.25) >= math.log(guardrails / 0.05)
    assert log_e_of_change([Stretch(rho, 3, 0)], 1.25) >= math.log(guardrails / 0.05)
    assert log_e([Stretch(rho, 1, 0)], 1.25) < math.log(1 / 0.05)


@pytest.mark.parametrize(("rho", "guardrails"), [(0.1, 1), (0.05, 4), (0.01, 4)])
def test_and_also_when_the_stable_version_failed_once_meanwhile(rho, guardrails):
    assert log_e([Stretch(rho, 3, 1)], 1.25) >= math.log(guardrails / 0.05)


def test_the_fourth_failure_is_enough_for_four_guardrails_when_the_stable_version_failed_once_at_a_tenth():
    assert log_e([Stretch(0.1, 3, 1)], 1.25) < math.log(4 / 0.05) <= log_e([Stretch(0.1, 4, 1)], 1.25)


def test_a_candidate_that_breaks_at_its_second_step_is_caught_as_early():
    # 400 good answers at 1 % while the stable version failed 396 times; then each of its answers fails.
    good = Stretch(0.01, 4, 396)
    assert log_e_of_change([good, Stretch(0.1, 3, 0)], 1.25) >= math.log(1 / 0.05)
    assert log_e([good, Stretch(0.1, 3, 0)], 1.25) < math.log(1 / 0.05)
    assert log_e_of_change([good, Stretch(0.1, 4, 0)], 1.25) >= math.log(4 / 0.05)


def test_a_step_that_has_begun_without_events_changes_nothing():
    seen = [Stretch(0.1, 4, 9)]
    assert log_e([*seen, Stretch(0.5, 0, 0)], 1.25) == log_e(seen, 1.25)
    assert log_e_of_change([*seen, Stretch(0.5, 0, 0)], 1.25) == pytest.approx(log_e_of_change(seen, 1.25), abs=1e-12)


def test_without_events_there_is_no_evidence():
    assert log_e([]) == pytest.approx(0.0, abs=1e-12)
    assert log_e_of_change([]) == pytest.approx(0.0, abs=1e-12)
    found = rate_ratio([], 0.05)
    assert (found.low, found.high) == (0.0, math.inf)


@pytest.mark.parametrize(("candidate", "stable"), [(30, 10), (3, 40), (200, 190), (0, 12), (12, 0)])
@pytest.mark.parametrize("rho", [0.1, 0.5])
def test_the_interval_of_the_ratio_holds_the_exact_one_of_a_single_look(candidate, stable, rho):
    # Given the events, the candidate's are binomial; scipy's exact interval of that chance, turned into a ratio of rates.
    exact = binomtest(candidate, candidate + stable).proportion_ci(0.95, "exact")
    ratios = [p / (1 - p) * (1 - rho) / rho if p < 1 else math.inf for p in (exact.low, exact.high)]
    found = rate_ratio([Stretch(rho, candidate, stable)], 0.05)
    assert found.low <= ratios[0]
    assert ratios[1] <= found.high
    assert found.low <= candidate / max(stable, 1e-300) * (1 - rho) / rho <= found.high or not stable


def test_the_interval_ends_where_the_evidence_suffices():
    stretches = [Stretch(0.05, 9, 50), Stretch(0.5, 31, 12)]
    found = rate_ratio(stretches, 0.05)
    assert log_e(stretches, found.low, "harm") == pytest.approx(math.log(40), abs=1e-6)
    assert log_e(stretches, found.high, "safety") == pytest.approx(math.log(40), abs=1e-6)
    assert log_e(stretches, found.low * 1.01, "harm") < math.log(40) < log_e(stretches, found.low / 1.01, "harm")


def test_many_histories_at_once_say_what_each_says():
    random = np.random.default_rng(3)
    ours, theirs = random.integers(0, 30, (4, 3, 2)), random.integers(0, 30, (4, 3, 2))
    found = log_e_paths([0.1, 0.5], ours, theirs, 1.1, "safety")
    for place in np.ndindex(4, 3):
        one = [
            Stretch(0.1, int(ours[place][0]), int(theirs[place][0])),
            Stretch(0.5, int(ours[place][1]), int(theirs[place][1])),
        ]
        assert found[place] == pytest.approx(log_e(one, 1.1, "safety"), abs=1e-12)


@pytest.mark.parametrize("rho", [1e-9, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("candidate", [0, 1, 10**12])
@pytest.mark.parametrize("stable", [0, 1, 10**12])
@pytest.mark.parametrize("question", ["harm", "safety", "difference"])
def test_no_count_and_no_share_makes_it_stumble(rho, candidate, stable, question):
    stretches = [Stretch(rho, candidate, stable)]
    assert math.isfinite(log_e(stretches, 1.25, question))
    found = rate_ratio(stretches, 0.05)
    assert 0 <= found.low <= found.high


def test_numbers_that_make_no_sense_are_refused_with_their_name():
    with pytest.raises(InvalidInput, match="share is 1"):
        Stretch(1.0, 0, 0)
    with pytest.raises(InvalidInput, match="stable is -1"):
        Stretch(0.5, 0, -1)
    with pytest.raises(InvalidInput, match="margin is 0"):
        log_e([], 0.0)
    with pytest.raises(InvalidInput, match="margin is nan"):
        log_e([], math.nan)
    with pytest.raises(InvalidInput, match="'worse'"):
        log_e([], 1.0, "worse")
    with pytest.raises(InvalidInput, match="alpha is 5"):
        rate_ratio([], 5)
