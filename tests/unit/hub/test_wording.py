"""What people read of attacks, recodings and columns says what the numbers say."""

import re

import pytest

from flows import data_flow
from tasks.attacks.adversary import Goal
from tasks.attacks.score import Gate
from tasks.common.recoding_forms import Method
from tasks.hub import report, summary, wording
from tasks.hub.handles import Publication
from tasks.hub.registration import Registration
from tests.conftest import make_policy
from tests.unit.hub.example import card, dossier, finding

LOCAL = {"levels": {}, "top_levels": {}, "optimal": False, "bound": 0.0}


def text_of(page):
    """The words of a page, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_every_attack_is_under_its_goal_the_worst_of_each_first():
    grouped = [(goal, [f.name for f in found]) for goal, found in wording.by_goal(card())]
    assert [goal for goal, _ in grouped] == [goal for goal in wording.GOALS if goal != Goal.DISCLOSURE]
    assert grouped[0] == (Goal.SINGLING_OUT, ["singling-out-all", "singling-out-some"])
    assert dict(grouped)[Goal.INFERENCE] == ["inference-result-learned", "inference-result"]
    assert set(wording.GOALS) == set(Goal)


def test_members_found_are_told_with_bounds_and_false_alarms():
    (told,) = wording.figures(next(f for f in card().attacks if f.goal == Goal.MEMBERSHIP))
    assert told == "finds 1.2 % (0.64–2.1 %) of members at 1 % false alarms (measured: 1.1 %)"


def test_further_figures_stand_in_the_report():
    text = text_of(report.render(dossier()))
    assert "finds 1.2 % (0.64–2.1 %) of members at 1 % false alarms" in text
    assert "above the threshold with 3.4 % of the people" in text
    assert "leaves several in 25.0 % of the cases" in text
    assert "12.0 % label alone" in text


def test_an_attack_without_further_figures_tells_none():
    assert wording.figures(finding("a", Goal.LINKABILITY, 0.1)) == []


@pytest.mark.parametrize(("gate", "told"), [(Gate.INCONCLUSIVE, True), (Gate.PASSES, False), (Gate.FAILS, False)])
def test_want_of_people_is_told_where_it_keeps_the_gate_from_deciding(gate, told):
    sentence = "singling-out-all had 900 trials on the release and 300 on the control"
    made = dossier(gate=gate)
    assert (sentence in summary.reason(made)) is told
    assert (sentence in text_of(report.render(made))) is told


def test_attacks_that_need_more_people_say_how_many():
    few = finding("a", Goal.INFERENCE, 0.2, needed=5000)
    assert wording.need(few, 0.09) == "needs about 5,000 a side"
    assert wording.need(few, 0.2) == ""  # its bound is low enough already
    assert wording.need(finding("a", Goal.INFERENCE, 0.2, needed=300), 0.09) == ""  # as many as there were


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Method.MONDRIAN, "region by region (Mondrian)"),
        (Method.MONDRIAN_RELAXED, "relaxed Mondrian"),
        (Method.MICROAGGREGATION, "values, not generalizations"),
    ],
)
def test_local_recodings_have_no_levels_and_are_told_all_the_same(method, words):
    text = text_of(report.render(dossier(method=method, **LOCAL)))
    assert words in text
    assert "How much less could be lost is not known." in text
    assert "level " not in text
    assert "20.0 %" in text  # what was lost of the column `age`


def test_a_bound_is_told_where_nothing_is_proven_optimal():
    assert "lost 10.0 % of their detail" in wording.recoding(dossier(optimal=False, bound=0.04).release.account)
    assert "less than 4.0 %" in wording.recoding(dossier(optimal=False, bound=0.04).release.account)
    assert "4.2 % were suppressed" in wording.recoding(dossier(cells=0.042).release.account)


def test_pseudonyms_make_a_release_personal_data_and_the_key_is_named():
    text = text_of(report.render(dossier(pseudonyms=("mrn",), key="0123456789abcdef")))
    assert "Pseudonymous data is personal data (GDPR Art. 4(5))" in text
    assert "0123456789abcdef" in text
    assert "released as keyed pseudonyms" in text
    assert "GDPR" not in text_of(report.render(dossier()))


def test_what_was_done_to_single_columns_is_told():
    policy = make_policy(
        {
            "age": {
                "role": "quasi", "kind": "numeric", "top": 90,
                "hierarchy": {"intervals": [10], "min": 0, "max": 90},
            },
            "born": {"role": "other", "kind": "date", "bottom": "1930-01-01"},
            "seen": {"role": "other", "kind": "date", "shift": {"days": 365}},
            "weight": {"role": "other", "kind": "numeric", "bottom": 40, "top": 150, "round": 5},
        }
    )  # fmt: skip
    account = dossier(levels={"age": 1}, top_levels={"age": 3}, rounding={"weight": 5.0}, key="k").release.account
    told = {name: wording.change(policy, account, name) for name in policy.columns}
    assert told == {
        "age": "all above 90 released as 90; generalized, level 1 of 3",
        "born": "all below 1930-01-01 released as 1930-01-01",
        "seen": "moved by up to 365 secret days, the same for all dates of a person",
        "weight": "all below 40 released as 40; all above 150 released as 150; rounded to multiples of 5",
    }


def test_a_refusal_for_want_of_people_says_how_many_it_takes(tmp_path):
    published = Publication(
        headline="h", reason="r", score=80, gate=Gate.INCONCLUSIVE, folder=tmp_path, report=tmp_path / "report.html",
        registration=Registration(run_id="a", experiment_id="1", tracking_uri="sqlite:///x", page=None),
    )  # fmt: skip
    told = str(data_flow.refusal(dossier(gate=Gate.INCONCLUSIVE), published))
    assert "for want of people: singling-out-all had 900 trials" in told
    assert "about 5,000 on each side" in told
    assert "want of people" not in str(data_flow.refusal(dossier(gate=Gate.FAILS), published))
