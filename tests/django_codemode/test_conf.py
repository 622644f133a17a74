from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.utils.functional import SimpleLazyObject

from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from django_codemode import SYSTEM, get_codemode
from django_codemode.conf import get_settings, parse
from django_codemode.shared import shared


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (["EXECUTOR_URL"], "CODEMODE is a list; expected a dict"),
        (
            {"EXECUTER_URL": "x"},
            "CODEMODE['EXECUTER_URL'] is not a setting; did you mean 'EXECUTOR_URL'?",
        ),
        ({"max_rows": 5}, "CODEMODE['max_rows'] is not a setting; did you mean 'MAX_ROWS'?"),
        ({"ZZZ": 5}, "CODEMODE['ZZZ'] is not a setting; expected one of CONNECT_TIMEOUT, "),
        ({3: 5}, "CODEMODE"),
        ({"MAX_ROWS": 0}, "CODEMODE['MAX_ROWS']: Input should be greater than 0 (got 0)"),
        ({"MAX_ROWS": "many"}, "CODEMODE['MAX_ROWS']: Input should be a valid integer"),
        (
            {"EXECUTION_TIMEOUT": -1},
            "CODEMODE['EXECUTION_TIMEOUT']: Input should be greater than 0",
        ),
        (
            {"LIMITS": {"max_memory": 1}},
            "CODEMODE['LIMITS']['max_memory'] is not a setting; did you mean 'max_memory_bytes'?",
        ),
        ({"TLS": {"cert_file": "a"}}, "CODEMODE['TLS']: cert_file and key_file go together"),
        ({"PROFILE": None}, "CODEMODE['PROFILE']: Input should be a valid string"),
        ({"MIN_TIER": "D"}, "CODEMODE['MIN_TIER']: Input should be 'A', 'B', 'C'"),
        (
            {"CONTEXT_PROVIDER": 5},
            "CODEMODE['CONTEXT_PROVIDER']: the type int was given; expected a callable",
        ),
        (
            {"SEARCH": 5},
            "CODEMODE['SEARCH']: the type int was given; expected a callable that takes",
        ),
        (
            {"SEARCH_SYNONYMS": {"RMA": "refund"}},
            "CODEMODE['SEARCH_SYNONYMS']['RMA']: Input should be a valid list",
        ),
        (
            {"SEARCH_SYNONYMS": {"a b c d": ["x"]}},
            "CODEMODE['SEARCH_SYNONYMS']: synonyms has the phrase 'a b c d'; expected one to 3",
        ),
        ({"TENANT_HEADER": "X Tenant"}, "CODEMODE['TENANT_HEADER']: String should match pattern"),
        ({"TENANT_HEADER": "X", "TENANT_FROM_HOST": True}, "exclude each other"),
        ({"EXECUTION_TIMEOUT": 1, "LIMITS": {"execution_timeout": 1}}, "set the same limit"),
    ],
)
def test_a_wrong_setting_is_named_with_the_fix(raw: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(raw)

    assert message in str(caught.value)


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"A1.*MAX_ROWS"):
        parse({"A1": 1, "MAX_ROWS": 0})


def test_secrets_are_in_no_message_and_no_repr() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse({"EXECUTOR_API_KEY": ["hush"], "FAIRNESS_KEY": {"hush": 1}})
    assert "hush" not in str(caught.value)

    settings = parse({"EXECUTOR_API_KEY": "hush", "FAIRNESS_KEY": "hush"})
    assert "hush" not in repr(settings)


def test_the_record_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse({}).max_rows = 5  # type: ignore[misc]  # the point


def test_a_setting_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEMODE_EXECUTOR_URL", "http://environment:1")
    monkeypatch.setenv("CODEMODE_EXECUTOR_API_KEY", "from-environment")
    monkeypatch.setenv("CODEMODE_LIMITS__MAX_TOOL_CALLS", "7")
    monkeypatch.setenv("CODEMODE_LIMITS__MAX_THREADS", "8")
    monkeypatch.setenv("CODEMODE_CONNECT_TIMEOUT", "4")

    config = parse(
        {
            "EXECUTOR_URL": "http://setting:1",
            "CONNECT_TIMEOUT": 0.5,
            "EXECUTION_TIMEOUT": 3,
            "LIMITS": {"max_threads": 9},
        }
    ).client_config()

    assert parse({}).client_config().connect_timeout == 4
    assert config.connect_timeout == 0.5
    assert config.executor_url == "http://setting:1"
    assert config.executor_api_key is not None
    assert config.executor_api_key.get_secret_value() == "from-environment"
    assert config.limits.max_tool_calls == 7
    assert config.limits.max_threads == 9
    assert config.limits.execution_timeout == 3


def test_a_setting_of_none_beats_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEMODE_EXECUTOR_URL", "http://environment:1")
    monkeypatch.setenv("CODEMODE_EXECUTOR_API_KEY", "from-environment")

    config = parse({"EXECUTOR_URL": None, "EXECUTOR_API_KEY": None}).client_config()

    assert config.executor_url is None
    assert config.executor_api_key is None


def test_override_settings_takes_effect_at_once_and_leaves_no_executor() -> None:
    before = get_codemode()
    assert before.run("1").ok
    assert before.client.embedded is not None

    with override_settings(CODEMODE={"EXECUTION_TIMEOUT": 12}):
        during = get_codemode()
        assert during is not before
        assert during.registry is before.registry
        assert during.client.limits.execution_timeout == 12
        assert before.client.embedded.pid is None
        assert during.run("1").ok
        executor = during.client.embedded
        assert executor is not None
        assert executor.pid is not None

    assert executor.pid is None
    assert get_settings().execution_timeout is None
    assert get_codemode() is not during


def test_a_wrong_setting_raises_on_use() -> None:
    with (
        override_settings(CODEMODE={"PROFIL": "x"}),
        pytest.raises(ConfigurationError, match=r"did you mean 'PROFILE'\?"),
    ):
        get_codemode()
    shared.close()


class TestFairnessKey:
    acme = RuntimeContext({"tenant_id": "acme"})

    def test_each_tenant_has_one_key_that_does_not_name_it(self) -> None:
        settings = parse({})
        key = settings.fairness_key_of(self.acme)

        assert key == settings.fairness_key_of(RuntimeContext({"tenant_id": "acme", "user": 1}))
        assert key != settings.fairness_key_of(RuntimeContext({"tenant_id": "other"}))
        assert "acme" not in key
        assert len(key) == 64

    def test_without_a_tenant_the_key_is_the_users(self) -> None:
        keys = [
            parse({}).fairness_key_of(RuntimeContext({"user": User(pk=pk)})) for pk in (1, 1, 2)
        ]

        assert keys[0] == keys[1] != keys[2]
        assert keys[0] != parse({}).fairness_key_of(RuntimeContext({"tenant_id": 1}))

    def test_a_lazy_user_that_is_loaded_already_counts(self) -> None:
        user = SimpleLazyObject(lambda: User(pk=1))
        assert user.pk == 1

        key = parse({}).fairness_key_of(RuntimeContext({"user": user}))

        assert key == parse({}).fairness_key_of(RuntimeContext({"user": User(pk=1)}))

    def test_making_the_key_loads_no_user(self) -> None:
        user = SimpleLazyObject(lambda: pytest.fail("loaded"))

        assert parse({}).fairness_key_of(RuntimeContext({"user": user})) == ""

    def test_the_key_is_empty_when_no_user_is_known(self) -> None:
        assert parse({}).fairness_key_of(None) == ""
        for user in (None, "ann", AnonymousUser(), SYSTEM):
            assert parse({}).fairness_key_of(RuntimeContext({"user": user})) == ""

    def test_the_key_depends_on_the_secret(self) -> None:
        default = parse({}).fairness_key_of(self.acme)

        assert parse({"FAIRNESS_KEY": "k"}).fairness_key_of(self.acme) != default
        with override_settings(SECRET_KEY="another"):
            assert parse({}).fairness_key_of(self.acme) != default
