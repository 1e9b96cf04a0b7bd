"""The environment is read strictly, and telemetry is off whatever it says."""

import pytest

from tasks.common import environment, settings
from tasks.common.errors import InputError, StorageError


@pytest.mark.parametrize(
    ("name", "value"), [("SECURED_WORKERS", "many"), ("SECURED_WORKERS", "0"), ("SECURED_CLUSTER", "cloud")]
)
def test_a_senseless_variable_is_told(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name):
        settings.load()


def test_a_home_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SECURED_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StorageError, match="set SECURED_HOME"):
        settings.load().ensure_writable()


def test_telemetry_cannot_be_turned_on_by_the_environment():
    asked = {"DO_NOT_TRACK": "false", "GX_ANALYTICS_ENABLED": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "true"}
    environment.apply(asked)
    assert asked["DO_NOT_TRACK"] == "true"
    assert asked["GX_ANALYTICS_ENABLED"] == asked["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_other_choices_of_the_user_stand():
    asked = {"OMP_NUM_THREADS": "4"}
    environment.apply(asked)
    assert asked["OMP_NUM_THREADS"] == "4"
