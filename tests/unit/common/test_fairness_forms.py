"""How a policy asks for fairness."""

import pytest
from pydantic import ValidationError

from tasks.common.policy import Policy
from tests.conftest import make_policy

COLUMNS = {"sex": {"role": "quasi", "hierarchy": "all-or-nothing"}, "result": {"role": "sensitive"}}
QUESTION = {"target": "result", "positive": "sick"}


def fairness(**rest):
    return make_policy(COLUMNS, downstream=QUESTION, fairness={"protected": ["sex"], **rest})


def test_rows_and_weights_mitigate_or_thresholds_where_labels_are_biased():
    assert fairness().fairness.mitigations == ("rows", "weights")
    assert fairness(labels="biased").fairness.mitigations == ("thresholds",)


def test_what_is_asked_for_is_done_in_its_order_and_nothing_else():
    assert fairness(mitigation=["thresholds", "rows"]).fairness.mitigations == ("rows", "thresholds")
    assert fairness(labels="biased", mitigation=[]).fairness.mitigations == ()


def test_errors_against_biased_records_cannot_be_made_equal():
    with pytest.raises(ValidationError, match="`equalize: equalized_odds` makes errors against the recorded outcome"):
        fairness(labels="biased", equalize="equalized_odds")


@pytest.mark.parametrize(("column", "message"), [("result", "cannot be protected"), ("height", "not under `columns:`")])
def test_a_protected_column_that_does_not_fit_is_told_before_work_starts(column, message):
    with pytest.raises(ValidationError, match=message):
        make_policy(COLUMNS, downstream=QUESTION, fairness={"protected": [column]})


def test_a_policy_that_is_written_out_reads_the_same():
    policy = fairness(labels="biased", mitigation=["thresholds"], equalize="true_positive_rate_parity")
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy
