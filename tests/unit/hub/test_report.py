"""The report is one file that needs nothing, escapes what it shows, and says what the evidence says."""

import json
import re
from html.parser import HTMLParser

import pytest
import yaml

from tasks.attacks.score import Gate
from tasks.common import policy_file
from tasks.hub import inventory, pictures, report, summary
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
