"""Settings: what the environment says, and what it says to a child."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, environment_for, read_settings, variables_of
from tests.running import ROOT


def test_an_empty_environment_gives_settings_that_work_on_a_fresh_machine() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert (settings.redis_url, settings.host, settings.port) == (None, "127.0.0.1", 8283)
    assert settings.data_dir == Path(".blockwire")


def test_every_setting_has_a_variable_and_its_description_names_it() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description is not None
        assert any(variable in field.description for variable in variables_of(name)), name


def test_the_readme_names_every_variable_of_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    named = set(re.findall("`([A-Z_]+)`", rows))
    assert named == {variable for name in Settings.model_fields for variable in variables_of(name)}


def test_no_variable_sets_two_things() -> None:
    variables = [variable for name in Settings.model_fields for variable in variables_of(name)]
    assert len(set(variables)) == len(variables)


def test_variables_are_read_and_trimmed() -> None:
    settings = read_settings({"REDIS_URL": " redis://localhost/1 ", "BLOCKWIRE_SLOTS": "7"})
    assert (settings.redis_url, settings.slots) == ("redis://localhost/1", 7)


def test_an_empty_variable_counts_as_unset() -> None:
    settings = read_settings({"REDIS_URL": "", "BLOCKWIRE_PORT": "  ", "PORT": "9000"})
    assert (settings.redis_url, settings.port) == (None, 9000)


def test_our_own_name_for_the_port_wins() -> None:
    assert read_settings({"PORT": "9000", "BLOCKWIRE_PORT": "9001"}).port == 9001


def test_options_win_over_the_environment_unless_they_are_not_given() -> None:
    environ = {"PORT": "9000", "BLOCKWIRE_SLOTS": "7"}
    settings = read_settings(environ, port=9002, slots=None)
    assert (settings.port, settings.slots) == (9002, 7)


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("PORT", "many", "port"),
        ("PORT", "65536", "port"),
        ("BLOCKWIRE_SLOTS", "0", "slots"),
        ("BLOCKWIRE_INSECURE", "perhaps", "insecure"),
        ("BLOCKWIRE_POOL", "Pool One", "pool"),
        ("BLOCKWIRE_LOG_LEVEL", "loud", "log_level"),
        ("BLOCKWIRE_MODEL_TIMEOUT", "-1", "model_timeout_s"),
    ],
)
def test_a_value_that_cannot_be_used_names_its_field(variable: str, value: str, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read_settings({variable: value})
    assert refused.value.errors()[0]["loc"] == (field,)


def test_a_child_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("OPENAI_API_BASE", "http://localhost:1/v1")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")
    settings = read_settings(
        redis_url="unix:///run/store.sock", json_logs=True, data_dir="my blocks", insecure=True
    )
    environ = environment_for(settings)
    assert read_settings(environ) == settings
    assert environ["SOMETHING_ELSE"] == "stays"
    assert "PORT" not in environ


def test_a_child_is_not_told_what_was_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    settings = read_settings().model_copy(update={"redis_url": None})
    assert "REDIS_URL" not in environment_for(settings)


def test_keys_of_providers_do_not_show_in_a_repr() -> None:
    settings = read_settings({"ANTHROPIC_API_KEY": "sk-secret-1", "OPENAI_API_KEY": "sk-secret-2"})
    assert "sk-secret" not in repr(settings)


@pytest.mark.parametrize(("value", "insecure"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_insecure_must_be_said(value: str, insecure: bool) -> None:
    assert read_settings({"BLOCKWIRE_INSECURE": value}).insecure is insecure
