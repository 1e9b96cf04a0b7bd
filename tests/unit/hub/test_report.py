"""The report is one file that needs nothing, escapes what it shows, and says what the evidence says."""

import json
import re
from html.parser import HTMLParser

import pytest
import yaml

from tasks.attacks.score import Gate
from tasks.common import policy_file
from tasks.common.utility_forms import Survival
from tasks.hub import inventory, pictures, report, summary, usefulness
from tasks.utility.comparing import Comparison
from tasks.utility.downstream import Estimate
from tasks.utility.survival import Curve, SurvivalComparison
from tests.unit.hub.example import dossier

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and complains of tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []
        self.feed(text)
        assert not self.open, f"unclosed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, _tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page():
    return report.render(dossier())


def test_the_page_is_well_formed_and_links_nowhere(page):
    parsed = Page(page)
    assert not [value for name, value in parsed.attributes if name in {"src", "href", "action"}]
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", page)


def test_the_verdict_comes_first(page):
    text = " ".join(Page(page).text)
    assert text.index("May be shared publicly") < text.index("Attacks") < text.index("Lineage")


def test_every_attack_stands_in_it_with_its_bounds(page):
    text = re.sub(r"\s+", " ", " ".join(Page(page).text))
    for finding in dossier().verdict.released.attacks:
        assert finding.name in text
        assert f"{finding.low:.3f} – {finding.high:.3f}" in text


def test_hostile_names_are_escaped():
    hostile = dossier(column="<script>alert(1)</script>")
    text = report.render(hostile)
    assert "<script>" not in text
    Page(text)


@pytest.mark.parametrize(
    ("gate", "headline"),
    [
        (Gate.PASSES, "May be shared publicly"),
        (Gate.FAILS, "Must not be shared publicly"),
        (Gate.INCONCLUSIVE, "Not shown to be safe to share publicly"),
    ],
)
def test_the_headline_follows_the_gate(gate, headline):
    assert summary.headline(dossier(gate=gate)) == headline
    Page(report.render(dossier(gate=gate)))


def test_a_run_without_a_verdict_never_reads_as_safe():
    unfinished = dossier().model_copy(update={"verdict": None})
    assert summary.headline(unfinished) == "Not shown to be safe to share publicly"
    Page(report.render(unfinished))


def test_evidence_holds_no_path_of_the_machine():
    files = inventory.evidence_files(dossier())
    assert "/somewhere/private" not in "".join(files.values())
    assert json.loads(files["scorecard.json"])["gate"] == "passes"


def test_the_policy_in_the_evidence_can_be_read_again(tmp_path):
    made = dossier()
    for name, text in inventory.evidence_files(made).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    again = policy_file.read(tmp_path / "policy.yaml")
    assert again.fingerprint() == made.policy.fingerprint()
    assert yaml.safe_load((tmp_path / "policy.yaml").read_text())["columns"]["sex"]["hierarchy"] == "all-or-nothing"


def test_files_of_criteria_are_beside_the_policy_or_named_but_never_placed(tmp_path):
    private = tmp_path / "private"
    private.mkdir()
    (private / "meet.csv").write_text("well,*\nsick,*\n")
    (private / "people.csv").write_text("age,sex\n1,f\n")
    made = dossier()
    document = made.policy.model_dump(mode="json", exclude_defaults=True, exclude={"table"})
    document["criteria"] = {
        "t": {"result": {"t": 0.2, "distance": "hierarchical", "hierarchy": {"csv": "meet.csv"}}},
        "k_map": {"k": 3, "population": "people.csv"},
    }
    (private / "policy.yaml").write_text(yaml.safe_dump(document))
    policy = policy_file.read(private / "policy.yaml")
    files = inventory.evidence_files(made.model_copy(update={"policy": policy}))
    assert str(tmp_path) not in "".join(files.values())
    assert files["hierarchy-t-result.csv"] == "well,*\nsick,*\n"
    (tmp_path / "people.csv").write_text("age,sex\n1,f\n")
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert policy_file.read(tmp_path / "policy.yaml").fingerprint() == policy.fingerprint()


def test_bars_are_as_long_as_their_shares():
    svg = pictures.share_bars(["a", "b"], [("before", [0.75, 0.25])], "title")
    lengths = [float(width) for width in re.findall(r'class="before"[^>]*width="([\d.]+)"', svg)]
    assert lengths[0] == pytest.approx(3 * lengths[1], rel=0.01)


def test_bounds_are_drawn_where_they_are():
    svg = pictures.spans([pictures.Span("x", 0.05, 0.02, 0.08)], threshold=0.1, title="t", most=0.2)
    low, high = (float(re.search(rf'class="bounds[^>]*{end}="([\d.]+)"', svg).group(1)) for end in ("x1", "x2"))
    centre = float(re.search(r'cx="([\d.]+)"', svg).group(1))
    assert (centre - low) == pytest.approx(high - centre, abs=0.2)
    assert float(re.search(r'class="threshold" x1="([\d.]+)"', svg).group(1)) > high


def test_ratios_are_drawn_on_a_logarithmic_axis():
    pair = [
        pictures.Span("", ratio, ratio / 2, ratio * 2, tone) for ratio, tone in ((2.0, "after"), (0.5, "synthetic"))
    ]
    svg = pictures.ratios(["ward", ("b", pair)], "title")
    centre = float(re.search(r'class="threshold" x1="([\d.]+)"', svg).group(1))
    doubled, halved = (
        float(re.search(rf'circle class="{tone}" cx="([\d.]+)"', svg).group(1)) for tone in ("after", "synthetic")
    )
    assert doubled - centre == pytest.approx(centre - halved, abs=0.2)
    low, high = (float(re.search(rf'class="bounds after"[^>]*{end}="([\d.]+)"', svg).group(1)) for end in ("x1", "x2"))
    assert (low, high) == pytest.approx((centre, centre + 2 * (doubled - centre)), abs=0.2)


def test_a_wide_interval_is_cut_off_and_stays_in_the_picture():
    wide = pictures.Span("", 100.0, 1e-9, 1e9, "after")
    svg = pictures.ratios([("b", [wide, wide])], "title")
    places = [float(x) for x in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', svg)]
    assert all(0 <= x <= 640 for x in places)


def test_survival_falls_in_steps():
    svg = pictures.steps([0.0, 1.0, 2.0], [("after", [1.0, 0.5, 0.5], [1.0, 0.4, 0.4], [1.0, 0.6, 0.6])], "title")
    points = re.search(r'class="line after" points="([^"]+)"', svg).group(1).split()
    (_, y0), (x1, y1), (x2, y2), *_ = ([float(v) for v in point.split(",")] for point in points)
    assert y0 == y1  # holds until the first event
    assert x1 == x2  # then falls at once
    assert y2 > y1


def compared(**survival):
    fidelity = dossier().fidelity
    if survival:
        fidelity = fidelity.model_copy(update={"clinical": fidelity.clinical.model_copy(update=survival)})
    return Comparison(
        real_rows=400, synthetic_rows=300, tested_rows=100, held_out=True, left_out=("<b>height</b>",),
        missing=("weight",), fidelity=fidelity,
    )  # fmt: skip


def test_a_comparison_is_a_page_that_needs_nothing_and_says_on_whom_it_was_tested():
    page = usefulness.page(compared(), dossier().policy, ("<script>real</script>", "made.csv"))
    parsed = Page(page)
    assert not [value for name, value in parsed.attributes if name in {"src", "href", "action"}]
    assert "<script>" not in page and "<b>height" not in page
    text = re.sub(r"\s+", " ", " ".join(parsed.text))
    assert "a random fifth held out here" in text
    assert "lack weight" in text
    for family in ("gradient boosted trees", "logistic regression", "random forest"):
        assert family in text


def test_survival_is_shown_where_it_was_compared():
    curve = Curve(survival=(1.0, 0.6), low=(1.0, 0.5), high=(1.0, 0.7), people=80, events=32)
    gap = Estimate(value=-3.0, low=-9.0, high=3.0)
    found = SurvivalComparison(
        times=(0.0, 100.0), real=curve, synthetic=curve, largest_difference=0.043, mean_real=80.0, mean_difference=gap,
        hazards=dossier().fidelity.clinical.odds, left_out=(),
    )  # fmt: skip
    asked = Survival(time="days", event="relapse", positive="yes", groups=("sex",))
    policy = dossier().policy.model_copy(update={"survival": asked})
    text = " ".join(Page(usefulness.page(compared(survival=found), policy, ("a", "b"))).text)
    assert "at most 4.3 percentage points apart" in text
    assert "it differs by -3 (-9 to +3)" in text
    assert "hazard ratios lead to the same conclusion" in text


def judged(**changes):
    return usefulness.verdict(dossier().fidelity.model_copy(update=changes))


def test_the_sentence_says_why_rows_are_not_useful():
    assert judged().startswith("The synthetic rows are useful.")
    assert "less than the 10.0 % that are needed" in judged(trends=0.71)
    assert "loses 0.012 AUC beside the release, more than the policy's 0.01" in judged(largest_gap=0.01)
    answer = dossier().fidelity.answers[0]
    unlearned = answer.model_copy(update={"synthetic": answer.floor})
    assert "no more from them than from shuffled columns" in judged(answers=(unlearned,))
