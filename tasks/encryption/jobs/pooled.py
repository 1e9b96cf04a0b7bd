"""Jobs on what several bring together, each of whom encrypts with the public key alone.

Contributors hand their ciphertexts to the evaluator, not to the owner of the keys, who could decrypt them one by one;
the owner is given the answer, in which they are summed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import InputError, ParametersError
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job
from tasks.encryption.session import Session

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Contributions = np.ndarray | Mapping[str, np.ndarray]


class Pooled(Job, ABC):
    """contributors: all of them; the job is done once each has sent its part. Data are arrays by contributor."""

    contributors: Annotated[tuple[Name, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _named_once(self) -> Pooled:
        if len(set(self.contributors)) < len(self.contributors):
            raise ParametersError("each contributor is named once")
        return self

    @abstractmethod
    def contributed(self, session: Session, contributor: str, data: np.ndarray) -> dict[str, Encrypted]:
        """What one of them sends."""

    def contribute(self, session: Session, contributor: str, data: np.ndarray) -> dict[str, Encrypted]:
        """What one of them sends; the public key, as auditors have it, is enough.

        Raises:
            InputError: nobody of that name contributes, or the data are not what the job takes.
            WouldBeWrong: a value is beyond the job's bounds.
        """
        self.require_contributor(contributor)
        return self.contributed(session, contributor, data)

    def require_contributor(self, name: str) -> None:
        """Refuse a name that is none of the contributors'."""
        if name not in self.contributors:
            raise InputError(f"'{name}' is none of the {len(self.contributors)} contributors of this job")

    def encrypt(self, owner: Session, data: Contributions) -> dict[str, Encrypted]:
        made: dict[str, Encrypted] = {}
        for name, values in self.by_contributor(data).items():
            made |= self.contributed(owner, name, values)
        return made

    def by_contributor(self, data: Contributions) -> dict[str, np.ndarray]:
        """What each contributes; an array alone is that of the only one.

        Raises:
            InputError: it is not one array for each of them.
        """
        names = self.contributors
        if isinstance(data, np.ndarray):
            if len(names) > 1:
                raise InputError(
                    f"{len(names)} contribute to this job: name the array of each (.npz), or have each bring its own "
                    "with `secured he contribute`"
                )
            return {names[0]: data}
        if set(data) != set(names):
            there = len(set(data) & set(names))
            raise InputError(f"this job has {len(names)} contributors, of whom {there} are among the {len(data)} given")
        return {name: data[name] for name in names}
