from __future__ import annotations

from typing import Any

import pytest
from django.test import TestCase, override_settings
from django.utils.functional import SimpleLazyObject

from codemode.errors import ValueEncodingError
from codemode.values import decode, encode
from django_codemode import get_codemode
from shop.models import Merchant


def value_of(code: str) -> Any:
    result = get_codemode().run(code)
    assert result.ok, result.error
    return result.value


def message_of(code: str) -> str:
    result = get_codemode().run(code)
    assert result.status == "failed"
    assert result.error is not None
    return result.error.message


class QuerySetTests(TestCase):
    def setUp(self) -> None:
        for slug in ("a", "b"):
            Merchant.objects.create(slug=slug, name=slug, currency="EUR")

    def test_values_travel_as_dicts(self) -> None:
        rows = [{"slug": "a", "currency": "EUR"}, {"slug": "b", "currency": "EUR"}]
        assert value_of("testapp.rows('values')") == rows
        assert value_of("testapp.rows('named')") == rows

    def test_values_lists_travel_as_lists_of_tuples(self) -> None:
        assert value_of("testapp.rows('list')") == [("a", "EUR"), ("b", "EUR")]
        assert value_of("testapp.rows('flat')") == ["a", "b"]

    def test_a_queryset_may_be_sliced_and_nested_in_a_value(self) -> None:
        assert value_of("testapp.rows('nested')") == {"page": ["a"]}

    def test_a_queryset_that_was_evaluated_is_not_queried_again(self) -> None:
        rows = Merchant.objects.values("slug")
        list(rows)
        with self.assertNumQueries(0):
            assert decode(encode(rows)) == [{"slug": "a"}, {"slug": "b"}]

    def test_more_than_max_rows_is_refused_with_the_way_to_page(self) -> None:
        with override_settings(CODEMODE={"MAX_ROWS": 2}):
            assert len(value_of("testapp.rows('values')")) == 2
        with override_settings(CODEMODE={"MAX_ROWS": 1}):
            for form in ("values", "evaluated"):
                message = message_of(f"testapp.rows({form!r})")
                assert "QuerySet of shop.Merchant has more than 1 rows" in message
                assert "queryset[start:stop]" in message

    def test_model_instances_are_refused_with_the_values_to_write(self) -> None:
        assert '.values("id", "slug", "name", "currency")' in message_of("testapp.rows('models')")
        assert '.values("id", "slug", "name", "currency")' in message_of("testapp.rows('model')")

    def test_an_asynchronous_tool_gets_the_code_to_evaluate_its_queryset(self) -> None:
        assert "[row async for row in queryset]" in message_of("await testapp.arows()")

    def test_lazy_strings_travel_as_text(self) -> None:
        assert value_of("testapp.lazy()") == ["Save", {"label": "Cancel"}]


def test_a_lazy_object_is_not_evaluated_to_see_what_it_is() -> None:
    def load() -> object:
        raise AssertionError("evaluated")

    with pytest.raises(ValueEncodingError, match="SimpleLazyObject"):
        encode(SimpleLazyObject(load))
