"""How a policy asks for a recoding."""

import pytest
from pydantic import ValidationError

from tasks.common.policy import Policy
from tasks.common.recoding_forms import Method
from tests.conftest import make_policy

COLUMNS = {"age": {"role": "quasi", "kind": "numeric", "hierarchy": "all-or-nothing"}}


def test_without_a_word_it_is_full_domain_and_rows_are_left_out_whole():
    recoding = make_policy(COLUMNS).recoding
    assert recoding.method is Method.FULL_DOMAIN
    assert not recoding.cell_suppression


@pytest.mark.parametrize("method", ["full-domain", "mondrian", "mondrian-relaxed", "microaggregation"])
def test_the_name_of_a_method_is_enough(method):
    assert make_policy(COLUMNS, recoding=method).recoding.method == method


def test_a_policy_that_is_written_out_reads_the_same():
    policy = make_policy(COLUMNS, recoding={"method": "full-domain", "cell_suppression": True})
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy
    assert policy.fingerprint() != make_policy(COLUMNS).fingerprint()


def test_cells_are_suppressed_in_full_domain_generalization_only():
    with pytest.raises(ValidationError, match="`cell_suppression` goes with `method: full-domain`; `mondrian` leaves"):
        make_policy(COLUMNS, recoding={"method": "mondrian", "cell_suppression": True})


def test_the_schema_for_editors_knows_both_ways_of_writing():
    schema = Policy.model_json_schema()
    assert {option["$ref"].rsplit("/", 1)[1] for option in schema["properties"]["recoding"]["anyOf"]} == {
        "Method",
        "Recoding",
    }
