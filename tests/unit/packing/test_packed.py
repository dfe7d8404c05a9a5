"""What pack gives back."""

from fairlead.bundle.manifest import Attempt, ParityReport
from fairlead.packing.packed import Packed

PACKED = Packed(
    model="flights",
    number=3,
    digest="ab" * 32,
    road="graph",
    parity=ParityReport(
        "graph",
        1e-5,
        (
            Attempt("ir", proven=False, reason="The step <script>alert(1)</script> is unknown."),
            Attempt(
                "graph",
                proven=True,
                reason="proven",
                real_rows=1200,
                hard_rows=30,
                largest_difference=2e-7,
                label_agreement=1.0,
            ),
        ),
    ),
    metrics={"roc_auc": 0.791234567},
)


def test_the_prompt_shows_version_road_and_evidence():
    assert repr(PACKED) == (
        "<fairlead version flights:3, road 'graph', compared 1,200 real and 30 hard rows, "
        "largest difference 2e-07, label agreement 100.000000%>"
    )


def test_a_notebook_shows_the_same_escaped():
    shown = PACKED._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "flights:3" in shown


def test_the_facts_name_what_was_refused_and_why():
    facts = dict(PACKED.facts())
    assert facts["road ir refused"].startswith("The step")
    assert facts["roc_auc"] == "0.791235"


def test_a_version_that_was_not_published_says_so():
    import msgspec

    facts = dict(msgspec.structs.replace(PACKED, number=None).facts())
    assert facts["version"] == "flights, not published"
