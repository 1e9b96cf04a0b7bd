"""Attribute disclosure on the tables that the papers explain it by."""

import pyarrow as pa
import pytest

from tasks.attacks import disclosure
from tasks.attacks.adversary import Adversary, Goal, Method, declare
from tests.conftest import make_policy

COLUMNS = {
    "zip": {
        "role": "quasi",
        "hierarchy": {
            "groups": [
                {"1306*": ["13068"], "1305*": ["13053"], "1485*": ["14850", "14853"]},
                {"130*": ["1306*", "1305*"], "148*": ["1485*"]},
            ]
        },
    },
    "age": {"role": "quasi", "kind": "numeric", "hierarchy": {"intervals": [10, 40], "min": 0, "max": 80}},
    "condition": {"role": "sensitive"},
    "salary": {"role": "sensitive", "kind": "numeric"},
}
POLICY = make_policy(COLUMNS)

# Machanavajjhala et al. 2007, figure 2: the 4-anonymous inpatient table. (Their zip codes end in two stars.)
INPATIENTS = [("130*", "[0, 40)", c) for c in ("heart", "heart", "viral", "viral")]
INPATIENTS += [("1485*", "[40, 80)", c) for c in ("cancer", "heart", "viral", "viral")]
INPATIENTS += [("130*", "[30, 40)", c) for c in ("cancer",) * 4]


def table(rows):
    zips, ages, conditions = zip(*rows, strict=True)
    return pa.table({"zip": list(zips), "age": list(ages), "condition": list(conditions)})


def people(rows):
    zips, ages, conditions = zip(*rows, strict=True)
    return pa.table({"zip": list(zips), "age": pa.array(ages, pa.float64()), "condition": list(conditions)})


def disclosed(method, targets, rows, of="condition", kind="categorical", tolerance=0.0):
    adversary = Adversary(
        name="d",
        goal=Goal.DISCLOSURE,
        knows=("zip", "age"),
        secret=of,
        secret_kind=kind,
        tolerance=tolerance,
        method=Method(method),
    )
    return disclosure.succeed(adversary, rows, targets, POLICY, {}).tolist()


def test_bob_has_cancer_since_everyone_of_his_class_has():
    # Bob is 31 and lives in 13068: rows 9 to 12 are his class. Here rows 1 to 4 cover people under 30 only.
    rows = [(z, "[20, 30)" if a == "[0, 40)" else a, c) for z, a, c in INPATIENTS]
    bob, his_neighbour = ("13068", 31, "cancer"), ("13068", 31, "heart")
    assert disclosed("homogeneity", people([bob, his_neighbour]), table(rows)) == [1, 0]
    # Umeko is 21: her class has heart disease and viral infection.
    assert disclosed("homogeneity", people([("13068", 21, "viral")]), table(rows)) == [0]


def test_umeko_has_a_viral_infection_for_who_knows_that_she_has_no_heart_disease():
    rows = table([(z, "[20, 30)" if a == "[0, 40)" else a, c) for z, a, c in INPATIENTS])
    umeko, old = ("13068", 21, "viral"), ("14853", 50, "viral")
    # The third class leaves two others open whatever is ruled out.
    assert disclosed("background", people([umeko, old]), rows) == [1, 0]


def test_all_rows_that_fit_count_whatever_their_labels():
    rows = table([("130*", "*", "cancer"), ("*", "[30, 40)", "cancer"), ("13068", "[30, 40)", "heart")])
    assert disclosed("homogeneity", people([("13053", 31, "cancer"), ("13068", 31, "cancer")]), rows) == [1, 0]


def test_no_row_discloses_nothing():
    rows = table([("130*", "[0, 40)", "cancer")])
    for method in ("homogeneity", "background", "skewness"):
        assert disclosed(method, people([("14850", 31, "cancer")]), rows) == [0]


def skewed(positive, negative, usual):
    """Li et al. 2007, section 3.1: one class with these numbers among `usual` negative people elsewhere."""
    rows = [("130*", "[0, 40)", "positive")] * positive + [("130*", "[0, 40)", "negative")] * negative
    return table(rows + [("148*", "[40, 80)", "negative")] * usual)


@pytest.mark.parametrize(
    ("positive", "negative", "told"),
    [
        (25, 25, [1, 0]),  # their example: 50 % against 1 % overall; negative was likely before
        (49, 1, [1, 0]),  # theirs too: 98 % against 1 %, as diverse as the next
        (1, 49, [0, 0]),  # 2 % against 1 %: twice as likely, but far from likely
    ],
)
def test_a_class_is_skewed_where_the_rare_becomes_likely(positive, negative, told):
    rows = skewed(positive, negative, 100 * positive - 50)
    targets = people([("13068", 31, "positive"), ("13068", 31, "negative")])
    assert disclosed("skewness", targets, rows) == told


def test_what_was_likely_before_is_not_skewed():
    # 60 % in the class and 40 % overall is likelier than not, but not twice as likely.
    rows = [("130*", "[0, 40)", "x")] * 6 + [("130*", "[0, 40)", "y")] * 4
    rows += [("148*", "[40, 80)", "x")] * 2 + [("148*", "[40, 80)", "y")] * 8
    assert disclosed("skewness", people([("13068", 31, "x")]), table(rows)) == [0]


def test_numbers_agree_within_the_tolerance():
    # Li et al. 2007, table 4: salaries of 3, 4 and 5 thousand are diverse and still low. The range is 3 to 11.
    rows = pa.table({"zip": ["130*"] * 3 + ["148*"] * 2, "age": ["*"] * 5, "salary": [3.0, 4.0, 5.0, 6.0, 11.0]})
    targets = pa.table({"zip": ["13068", "13068", "14850"], "age": [31.0] * 3, "salary": [4.0, 3.0, 6.0]})
    # One eighth of the range is 1: 4 +- 1 takes in all three, 3 +- 1 does not.
    assert disclosed("homogeneity", targets, rows, "salary", "numeric", 0.125) == [1, 0, 0]


def test_each_secret_has_an_adversary_of_its_own_who_knows_the_quasi_identifiers():
    found = {a.name: a for a in declare(POLICY, list(COLUMNS))}
    assert found["homogeneity-condition"].knows == found["homogeneity-salary"].knows == ("zip", "age")
    assert "skewness-condition" not in found
    wanted = make_policy(COLUMNS, attacks={"disclosure": ["skewness"]})
    assert "skewness-salary" in [a.name for a in declare(wanted, list(COLUMNS))]
