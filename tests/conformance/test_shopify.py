"""Every document that the contract cases send keeps Shopify's schema, its variables too, and every answer fits it."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path

import pytest
from graphql import GraphQLSchema, OperationType, build_schema, execute_sync, get_operation_ast, parse, validate
from graphql.execution.values import get_variable_values

from shipfwd.platforms import load

SCHEMA = Path(os.environ["SHIPFWD_SPECS"]) / "shopify_admin_2026-10.fulfillment.graphql"
CASES = json.loads((Path(__file__).parent.parent / "platforms" / "shopify.json").read_text())["cases"]
STEPS = [
    pytest.param(step, id=f"{case}-{place}")
    for case, one in CASES.items()
    for place, step in enumerate(one["talk"])
    if step["path"].endswith("/graphql.json")
]
CROOKED = {"no_error_list_and_no_data"}  # answers that are wrong on purpose
ANSWERS = [
    one
    for one in STEPS
    if isinstance(one.values[0].get("reply"), dict)
    and "data" in one.values[0]["reply"]
    and "errors" not in one.values[0]["reply"]
    and str(one.id).rpartition("-")[0] not in CROOKED
]


@cache
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text(encoding="utf-8"))


def problems(query: str, variables: dict) -> list[str]:
    document = parse(query)
    wrong = [str(error) for error in validate(schema(), document)]
    if not wrong:
        operation = get_operation_ast(document)
        assert operation is not None
        given = get_variable_values(schema(), operation.variable_definitions or (), variables)
        wrong = [str(error) for error in given] if isinstance(given, list) else []
        declared = {one.variable.name.value for one in operation.variable_definitions or ()}
        wrong += [f"${name} is not declared" for name in sorted(set(variables) - declared)]
    return wrong


@pytest.mark.parametrize("step", STEPS)
def test_a_document_keeps_the_schema(step):
    assert problems(step["sent"]["query"], step["sent"]["variables"]) == []


@pytest.mark.parametrize("step", STEPS)
def test_only_mutations_are_declared_as_writes(step):
    operation = get_operation_ast(parse(step["sent"]["query"]))
    assert (operation.operation is OperationType.MUTATION) == step.get("write", True)


def answer_problems(query: str, variables: dict, data: dict) -> list[str]:
    """How an answer differs from what was asked for, by running the document on it: a field missing, null, of another
    kind or not asked for."""

    def read(source, info, **arguments):
        return source[info.path.key]  # the alias, by which the answer calls it

    given = {"variable_values": variables, "field_resolver": read}
    shown = execute_sync(schema(), parse(query), root_value=data, **given)
    return [str(error) for error in shown.errors or ()] or ([] if shown.data == data else ["more than was asked for"])


@pytest.mark.parametrize("step", ANSWERS)
def test_an_answer_has_all_that_was_asked_for_in_shopifys_words(step):
    assert answer_problems(step["sent"]["query"], step["sent"]["variables"], step["reply"]["data"]) == []


@pytest.mark.parametrize(
    ("query", "variables", "said"),
    [
        ("{ order(id: 1) { name } }", {}, None),
        ("{ order(id: 1) { number2 } }", {}, "Cannot query field"),
        ("query Q($id: ID!) { order(id: $id) { name } }", {}, "'ID!'"),
        ("query Q($id: ID!) { order(id: $id) { name } }", {"id": "1", "after": "x"}, "$after is not declared"),
        ("mutation M($f: FulfillmentInput!) { fulfillmentCreate(fulfillment: $f) { userErrors { message } } }",
         {"f": {"trackingInfo": {"number": "1"}}}, "lineItemsByFulfillmentOrder"),
    ],
)  # fmt: skip
def test_the_judge_finds_what_is_wrong(query, variables, said):
    found = problems(query, variables)
    assert found == [] if said is None else said in "\n".join(found)


def test_companies_are_spelled_as_shopify_lists_them():
    listed = schema().type_map["FulfillmentTrackingInfo"].fields["company"].description
    everywhere, somewhere = listed.split("displayed for shops located in specific countries")
    names = set(re.findall(r"^\s*\* (.+)$", everywhere, re.MULTILINE))
    countries = {" ".join(name.split()).rstrip(".") for name in re.sub(r"\*\s+\*\*.*?\*\*:", ",", somewhere).split(",")}
    shopify = load("shopify")
    assert shopify.linked <= names
    assert set(shopify.carriers.values()) - shopify.linked <= countries
