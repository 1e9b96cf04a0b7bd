"""What a policy may ask of the commands for single steps, but not of the data flow."""

from __future__ import annotations

from tasks.common.errors import PolicyError
from tasks.common.policy import Policy
from tasks.common.recoding_forms import Method


def require_flow_policy(policy: Policy) -> None:
    """Refuse what the data flow does not do.

    It measures usefulness on people whom the release never saw, in the words of the release; only full-domain
    generalization has words for everybody. It runs unattended, so it has no place for the owner's key.

    Raises:
        PolicyError: the policy asks for either.
    """
    if policy.recoding.method is not Method.FULL_DOMAIN:
        raise PolicyError(
            f"the data flow recodes `full-domain`, but the policy asks for `{policy.recoding.method}`; use `secured "
            "anonymize` and `secured assess`, which do"
        )
    if policy.needs_key:
        raise PolicyError(
            "the policy derives pseudonyms or shifted dates from the owner's key, which the data flow never gets; use "
            "`secured anonymize --key FILE`, or make the table with it that the flow takes"
        )
