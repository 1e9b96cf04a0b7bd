"""What drawn rows are worth: how well a model trained on them answers the policy's question for real rows."""

from __future__ import annotations

import pyarrow as pa
from sklearn.metrics import roc_auc_score

from tasks.common.policy import Policy
from tasks.common.seeds import derive
from tasks.synthesis.engines import Worth
from tasks.utility import downstream


def by_downstream(release: pa.Table, policy: Policy) -> Worth | None:
    """The AUC of the downstream model, 1/2 where it cannot be trained; None without a question, or without an answer.

    release: the rows learned from, whose vocabulary the model uses.
    """
    question = policy.downstream
    if question is None or question.target not in release.column_names:
        return None
    features = [name for name in policy.features if name in release.column_names]
    if not features:
        return None
    words = downstream.vocabulary(release, features, policy)

    def worth(drawn: pa.Table, real: pa.Table) -> float:
        labels, answers = downstream.positives(drawn, question), downstream.positives(real, question)
        if labels.all() or not labels.any() or answers.all() or not answers.any():
            return 0.5
        model = downstream.fit(drawn, words, question, derive(policy.seed, "worth"))
        return float(roc_auc_score(answers, model.scores(real)))

    return worth
