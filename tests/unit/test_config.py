"""Settings: where they come from, which win, and what is refused."""

from pathlib import Path

import pytest

from fairlead.config import Config, load_config, reference_page
from fairlead.errors import InvalidInput
from fairlead.monitor.settings import Alerting, Expectation, Objectives, Thresholds
from fairlead.monitor.settings import Settings as Monitoring

MONITORED = (Monitoring, Thresholds, Objectives, Alerting, Expectation)


def test_without_anything_the_state_lies_in_the_current_folder(tmp_path):
    config = load_config(environment={}, folder=tmp_path)
    assert config.home == tmp_path / ".fairlead"
    assert (config.host, config.port, config.max_body) == ("127.0.0.1", 8080, 16_777_216)
    assert config.database_url == f"sqlite:///{tmp_path}/.fairlead/fairlead.db"
    assert config.blobs_url == str(tmp_path / ".fairlead" / "blobs")


def test_the_state_lies_beside_the_nearest_file_upward(tmp_path):
    (tmp_path / "fairlead.toml").write_text("port = 9000\n")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    config = load_config(environment={}, folder=deep)
    assert (config.home, config.port) == (tmp_path / ".fairlead", 9000)


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path):
    (tmp_path / "fairlead.toml").write_text("port = 1\nhost = 'file'\ndrain = 3\n")
    config = load_config(
        {"port": 3, "host": None}, environment={"FAIRLEAD_PORT": "2", "FAIRLEAD_HOST": "environment"}, folder=tmp_path
    )
    assert (config.port, config.host, config.drain) == (3, "environment", 3.0)


def test_a_relative_home_begins_where_it_is_written(tmp_path):
    (tmp_path / "fairlead.toml").write_text("home = 'state'\n")
    deep = tmp_path / "deep"
    deep.mkdir()
    assert load_config(environment={}, folder=deep).home == tmp_path / "state"
    assert load_config(environment={"FAIRLEAD_HOME": "here"}, folder=deep).home == deep / "here"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"FAIRLEAD_PROT": "1"}, "Did you mean 'port'?"),
        ({"FAIRLEAD_PORT": "many"}, "FAIRLEAD_PORT in the environment is 'many'"),
        ({"FAIRLEAD_PORT": "65536"}, "<= 65535"),
        ({"FAIRLEAD_DRAIN": "nan"}, "FAIRLEAD_DRAIN"),
        ({"FAIRLEAD_DRAIN": "inf"}, "FAIRLEAD_DRAIN"),
        ({"FAIRLEAD_WORKERS": "0"}, ">= 1"),
        ({"FAIRLEAD_EVENT_LOG": "perhaps"}, "FAIRLEAD_EVENT_LOG"),
        ({"FAIRLEAD_HOME": ""}, "it must be a folder"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(environment, said, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        load_config(environment=environment, folder=tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["prot = 1", "port = '8080'", "port = ", "event_log = 1", "[port]\nx = 1"])
def test_a_wrong_file_is_refused_with_its_path(text, tmp_path):
    (tmp_path / "fairlead.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"fairlead\.toml"):
        load_config(environment={}, folder=tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "fairlead.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="is not TOML"):
        load_config(environment={}, folder=tmp_path)


def test_variables_that_are_no_settings_are_left_alone(tmp_path):
    load_config(environment={"FAIRLEAD_DEBUG": "1", "PORT": "x"}, folder=tmp_path)


def test_the_reference_page_is_the_one_made_from_the_code():
    page = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
    assert page.read_text("utf-8") == reference_page(), "write it anew with fairlead.config.reference_page()"


def test_every_setting_is_described_in_a_sentence():
    rows = [line for line in reference_page().splitlines() if line.startswith("| `")]
    settings = [name for name in Config.__struct_fields__ if name != "monitor"]
    assert [row.split("`")[1] for row in rows[: len(settings)]] == settings
    assert len(rows) == len(settings) + sum(len(kind.__struct_fields__) for kind in MONITORED) - 4  # four are tables
    assert all(row.endswith((". |", "). |")) for row in rows)


WATCHED = """
port = 9000
[monitor]
window = "1d"
thresholds = { ks = 0.2, q = 0.01 }
[monitor.flights]
window = "7d"
slide = "1d"
[monitor.flights.thresholds]
ks = 0.15
[monitor.flights.expectations.temp]
minimum = -40
"""


def test_an_endpoint_is_watched_as_its_own_table_says_then_as_the_common_one_does(tmp_path):
    (tmp_path / "fairlead.toml").write_text(WATCHED)
    config = load_config(environment={}, folder=tmp_path)
    assert config.port == 9000
    flights, other = config.monitor.of("flights"), config.monitor.of("other")
    assert (flights.window, flights.slide, flights.thresholds.ks, flights.thresholds.q) == ("7d", "1d", 0.15, 0.01)
    assert flights.expectations["temp"].minimum == -40
    assert (other.window, other.slide, other.thresholds.ks, other.expectations) == ("1d", None, 0.2, {})
    # What the operator has set stands above the file, and only where it says something.
    assert config.monitor.of("flights", {"thresholds": {"ks": 0.3}}).thresholds == Thresholds(ks=0.3, q=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[monitor]\nwindw = '1h'", "Did you mean 'window'?"),
        ("[monitor.flights]\nreferense = 'past'", "Did you mean 'reference'?"),
        ("[monitor.thresholds]\nkss = 0.1", "Did you mean 'thresholds.ks'?"),
        ("[monitor.tresholds]\nks = 0.1", "There is no setting 'ks' ([monitor.tresholds]"),
        ("[monitor.flights.expectations.temp]\nmin = 1", "expectations.temp.min"),
        ("[monitor]\nwindow = '1'", "no length of a window"),
        ("[monitor]\nwindow = '7d'\nslide = '2d'", "does not divide"),
        ("[monitor]\nwindow = '100 rows'\nreference = 'week'", "no hour of the week"),
        ("[monitor]\nreference = 'yesterday'", "The reference 'yesterday' is none."),
        ("[monitor]\nthresholds = { q = 1.5 }", "thresholds.q in [monitor]"),
        ("[monitor]\nalerting = { need = 4 }", "4 of 3 windows"),
        (
            "[monitor]\nwindow = '1d'\n[monitor.flights]\nslide = '7h'",
            "The slide '7h' does not divide the window '1d'. ([monitor.flights]",
        ),
        ("monitor = 3", "is no table"),
    ],
)
def test_a_wrong_setting_of_monitoring_is_refused_with_its_table(text, said, tmp_path):
    (tmp_path / "fairlead.toml").write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_config(environment={}, folder=tmp_path)
    assert said in str(caught.value)


def test_how_endpoints_are_watched_is_no_variable(tmp_path):
    with pytest.raises(InvalidInput, match="no setting 'FAIRLEAD_MONITOR'"):
        load_config(environment={"FAIRLEAD_MONITOR": "{}"}, folder=tmp_path)
