"""The owner's commands, as a flow starts them: their errors are the flow's, their arguments are paths."""

import pytest

from flows import owners_commands
from tasks.common.errors import CiphertextError, InputError, RunFailed


def test_a_commands_error_comes_back_as_what_it_was(tmp_path):
    with pytest.raises(InputError, match="there is no ciphertext at"):
        owners_commands.run("inspect", str(tmp_path / "none.he"))
    (tmp_path / "foreign.he").write_bytes(b"something else")
    with pytest.raises(CiphertextError, match=r"^this is no ciphertext of SECURED$"):
        owners_commands.run("inspect", str(tmp_path / "foreign.he"))


def test_wrong_usage_is_a_fault_of_ours():
    with pytest.raises(RunFailed, match="exit code 2"):
        owners_commands.run("inspect")


def test_one_file_opens_the_keys_and_only_its_path_is_told(tmp_path):
    assert owners_commands.unlocking("", str(tmp_path / "k")) == ["--key", str(tmp_path / "k")]
    assert owners_commands.unlocking(str(tmp_path / "p"), "") == ["--passphrase-file", str(tmp_path / "p")]
    for both in (("", ""), ("p", "k")):
        with pytest.raises(InputError, match="and not both"):
            owners_commands.unlocking(*both)
