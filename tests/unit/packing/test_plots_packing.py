"""Taking pictures."""

import pytest

from fairlead.errors import InvalidInput, NotFound, TooLarge
from fairlead.packing.plots import LARGEST, take_plots

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


class Figure:
    """What matplotlib's figures are asked for."""

    def savefig(self, buffer, **_):
        buffer.write(PNG)


def test_figures_are_named_by_the_dict_or_by_their_place():
    assert take_plots({"ROC curve": Figure()}) == {"roc-curve.png": PNG}
    assert list(take_plots([Figure(), Figure()])) == ["plot-1.png", "plot-2.png"]
    assert take_plots(None) == {}


def test_files_keep_their_names_in_a_form_that_is_safe_everywhere(tmp_path):
    path = tmp_path / "..Été & co.PNG"
    path.write_bytes(PNG)
    assert list(take_plots([path])) == ["t-co.png"]


@pytest.mark.parametrize("content", [b"<svg xmlns='x'/>", b"<?xml version='1.0'?>\n<!-- made -->\n<svg />"])
def test_an_svg_is_kept_as_it_is(tmp_path, content):
    (tmp_path / "a.svg").write_bytes(content)
    assert take_plots([tmp_path / "a.svg"]) == {"a.svg": content}


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.png", b"<html>", InvalidInput),
        ("a.svg", b"<html><svg></html>", InvalidInput),
        ("a.html", b"<html>", InvalidInput),
        ("a.png", PNG + b"0" * LARGEST, TooLarge),
    ],
    ids=["no png", "no svg", "html", "large"],
)
def test_what_is_no_picture_is_refused(tmp_path, name, content, error):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        take_plots([tmp_path / name])
    assert caught.value.hint


def test_a_missing_picture_and_another_object_are_refused(tmp_path):
    with pytest.raises(NotFound):
        take_plots([tmp_path / "a.png"])
    with pytest.raises(InvalidInput, match="Plot 0 is a int"):
        take_plots([3])


def test_two_pictures_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(InvalidInput, match=r"'a\.png'"):
        take_plots([tmp_path / "a.png", tmp_path / "a.png"])
