from datetime import UTC, datetime, timedelta, timezone

import pytest

from fairlead.schema import Output
from fairlead.serving.pages import words


def test_a_column_is_labelled_as_people_write_it():
    assert words.label_of("wind_speed") == "Wind speed"
    assert words.label_of("  ") == "  "


def test_columns_whose_labels_would_be_the_same_keep_their_own_names():
    assert words.labels_of(["a_b", "a b", "c_d"]) == {"a_b": "a_b", "a b": "a b", "c_d": "C d"}


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.5, "50.0 %"), (0.9996, "> 99.9 %"), (1.0, "100.0 %"), (0.1234, "12.3 %")],
)
def test_a_share_is_a_percentage_and_a_small_chance_never_reads_as_none(share, said):
    assert words.percent(share) == said


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e300, -0.0, 5e-324, 12.65858, 10.0])
def test_an_exact_number_reads_back_as_itself(value):
    assert float(words.exact(value)) == value


@pytest.mark.parametrize(
    ("value", "said"), [(300_000.0, "300,000"), (0.123456789, "0.12346"), (123456.7, "123,457"), (float("inf"), "inf")]
)
def test_a_number_to_read_has_the_precision_that_matters(value, said):
    assert words.number(value) == said


@pytest.mark.parametrize("classes", [(False, True), (0, 1), (0.0, 1.0)])
def test_the_labels_of_a_yes_or_no_question_are_yes_and_no(classes):
    assert [words.word(one, classes) for one in classes] == ["No", "Yes"]


def test_other_labels_stay_as_they_are():
    assert words.word("setosa", ("setosa", "virginica")) == "setosa"
    assert words.word(2, (0, 1, 2)) == "2"


def test_a_missing_entry_is_empty_text():
    assert words.exact(None) == ""


def test_a_prediction_without_a_name_is_called_prediction():
    assert words.target_of(Output("regression")) == "Prediction"


def test_times_are_told_in_utc():
    noon_in_berlin = datetime(2026, 11, 2, 12, 5, 9, tzinfo=timezone(timedelta(hours=1)))
    assert words.clock(noon_in_berlin) == "2 November 2026, 11:05:09 UTC"
    assert words.clock(noon_in_berlin.astimezone(UTC)) == words.clock(noon_in_berlin)


def test_amounts_and_sizes_have_their_nouns():
    assert (words.count(1, "row"), words.count(10_000, "row")) == ("1 row", "10,000 rows")
    assert (words.size(16 * 2**20), words.size(1024)) == ("16 MB", "1 KB")


@pytest.mark.parametrize(
    ("value", "said"), [(12.658579999999999, "12.65858"), (0.1, "0.1"), (1400, "1400"), ("UA", "UA")]
)
def test_a_number_to_start_from_has_no_noise(value, said):
    assert words.tidy(value) == said
