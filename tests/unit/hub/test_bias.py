"""What the report and the knowledge base say about bias."""

import json
import re

import pytest

from tasks.fairness.unbias import Unmeasured
from tasks.hub import bias, inventory, report
from tests.unit.hub import example_bias
from tests.unit.hub.example import dossier
from tests.unit.hub.test_report import Page


def text(**changes):
    """The words of the report about bias."""
    made = dossier().model_copy(update={"fairness": example_bias.fairness(**changes)})
    page = re.sub(r"\s+", " ", " ".join(Page(report.render(made)).text))
    return page[page.index(" Bias ") : page.index(" Lineage ")]


def test_it_says_by_how_much_groups_differ_what_chance_would_show_and_what_it_cost():
    said = text()
    assert "differ by up to 15.0 percentage points before (bounds 12.0 to 18.0) and 1.0 after (0.0 to 4.0)" in said
    assert "which may be chance: if all groups were alike, it would be 2.0 in the mean" in said
    assert "within the tolerance" in said
    assert "AUC went from 0.800 to 0.780: on the same people a change of −0.019" in said
    assert "20 synthetic rows were drawn for balance and rows were weighted" in said


@pytest.mark.parametrize(("gap", "tag"), [(0.15, "above the tolerance"), (0.06, "too few people to tell")])
def test_a_difference_is_within_the_tolerance_only_if_its_bounds_are(gap, tag):
    said = text(after=(example_bias.bias(gap),))
    assert tag in said
    assert "within the tolerance" not in said
    assert "chance alone would show 2.0" in said


def test_every_figure_of_a_group_is_shown_before_and_after_with_its_bounds():
    said = text()
    for figure in (
        "21.0 % 19.0 to 23.0",
        "52.0 % 50.0 to 54.0",
        "13.0 %",
        "43.0 %",
        "−3.1",
        "0.87 0.85 to 0.89",
        "0.78 0.76 to 0.80",
    ):
        assert said.count(figure) == 2, figure
    assert "about 1,200 people" in said
    assert "Fewer than 30 people, so left out: x." in said


def test_with_biased_labels_it_says_what_can_be_trusted_and_gives_the_thresholds():
    made = {"labels": "biased", "thresholds": example_bias.thresholds(), "mitigation": ("thresholds",)}
    said = text(**made)
    assert "How often groups are flagged can be trusted all the same" in said
    assert said.count("(against biased records)") == 3  # odds, opportunity, calibration; not parity
    assert "0.310 or 0.320" in said
    assert "see that the law permits it" in said
    files = inventory.evidence_files(dossier().model_copy(update={"fairness": example_bias.fairness(**made)}))
    assert json.loads(files["thresholds.json"])["groups"]["f"]["cuts"][0] == {"threshold": 0.31, "chance": 0.4}
    assert "thresholds.json" not in inventory.evidence_files(dossier())


def test_mitigation_in_vain_is_told_with_what_would_help():
    said = text(before=(example_bias.bias(0.1),), after=(example_bias.bias(0.12),))
    assert "What was done did not bring groups by sex closer together" in said
    assert "`mitigation: [thresholds]`" in said
    assert "closer together" not in text()
    by_chance = text(before=(example_bias.bias(0.03),), after=(example_bias.bias(0.035),))
    assert "closer together" not in by_chance


def test_columns_that_cannot_be_measured_are_told_instead():
    gone = (Unmeasured(column="sex", why="one value"),)
    said = text(before=(), after=(), unmeasured=gone, mitigation=())
    assert "Bias by sex cannot be measured any more" in said
    assert "tolerance" not in said


def test_the_knowledge_base_has_differences_with_bounds_and_the_cost():
    found = bias.metrics(example_bias.fairness())
    assert found["parity_before.sex"] == pytest.approx(0.15)
    assert found["parity_upper_after.sex"] == pytest.approx(0.04)
    assert found["odds_chance_after.sex"] == pytest.approx(0.02)
    assert found["auc_unbiased_change"] == pytest.approx(-0.019)
    assert "predictive_before.sex" not in found  # too few people for it


def test_names_of_groups_are_escaped():
    hostile = example_bias.bias(0.1, group="<script>alert(1)</script>")
    made = dossier().model_copy(update={"fairness": example_bias.fairness(before=(hostile,), after=(hostile,))})
    assert "<script>" not in report.render(made)
