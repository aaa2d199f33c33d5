"""Nested mappings are seen as dotted keys."""

from runner.base.tree import flat, leaves


def test_a_config_is_flattened_to_dotted_keys() -> None:
    assert flat({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}) == {"a.b": 1, "a.c.d": [1, 2], "e": {}}


def test_an_empty_config_has_no_leaves() -> None:
    assert flat({}) == {}


def test_items_of_lists_are_leaves_of_the_same_key_if_asked_for() -> None:
    assert list(leaves({"a": [1, {"b": 2}]}, "x", of_lists=True)) == [("x.a", 1), ("x.a.b", 2)]
