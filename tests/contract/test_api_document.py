"""The OpenAPI document is fresh, well formed, and says all."""

import json
from http import HTTPStatus

import jsonschema
import pytest

from central.api.app import described
from central.api.contract import DOCUMENT

DOC = json.loads(DOCUMENT.read_text(encoding="utf-8"))
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOC["paths"].items()
    for method, operation in methods.items()
]


def test_the_committed_document_is_the_generated_one():
    fresh = DOCUMENT.read_text(encoding="utf-8") == described()
    assert fresh, "stale: run `pointsman schema openapi`"


@pytest.mark.parametrize("path,method,operation", OPERATIONS)
def test_every_operation_is_described_and_names_its_refusals(path, method, operation):
    assert operation["summary"]
    assert "Roles: " in operation["description"] or not operation["security"]
    known = {int(status) for status in operation["responses"]}
    assert {400, 406, 500, 503} < known
    assert bool(operation["security"]) == ({401, 403} < known)
    assert ("{" in path) <= (404 in known)
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            name = answer["$ref"].removeprefix("#/components/responses/")
            assert "application/problem+json" in DOC["components"]["responses"][name]["content"]
        elif int(status) != HTTPStatus.NOT_MODIFIED:
            assert answer["content"]


@pytest.mark.parametrize("name", sorted(DOC["components"]["schemas"]))
def test_every_schema_is_one_and_fits_its_examples(name):
    schema = DOC["components"]["schemas"][name]
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = {"$ref": f"#/components/schemas/{name}", "components": DOC["components"]}
    for example in schema.get("examples", []):
        jsonschema.Draft202012Validator(whole).validate(example)


def test_every_answer_and_every_problem_has_an_example():
    for _, _, operation in OPERATIONS:
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                reference = content["schema"].get("$ref", "")
                if reference:
                    name = reference.removeprefix("#/components/schemas/")
                    assert DOC["components"]["schemas"][name]["examples"], name
    for problem in DOC["components"]["responses"].values():
        assert problem["content"]["application/problem+json"]["example"]["code"]


def test_operation_ids_are_unique():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
