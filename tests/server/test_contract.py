"""Schemathesis reads the server's own description and tries to break it: nothing may be our error."""

from __future__ import annotations

from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")


def attack(server: Any, examples: int, *, only: str = "") -> set[int]:
    """So many requests of each operation, sensible and otherwise; the statuses that came back."""
    with server.client() as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        schema.config.update(base_url=server.address)
        seen: set[int] = set()
        for found in schema.get_all_operations():
            operation = found.ok()
            if only and only not in operation.path:
                continue

            @hypothesis.settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                answer = case.call(timeout=60)
                seen.add(answer.status_code)
                case.validate_response(answer, checks=CHECKS)

            ask()
        return seen


CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


def test_a_few_requests_of_every_kind(server: Any) -> None:
    assert 200 in attack(server, 6)
    assert server.health()["requests"] == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_requests_of_every_kind(server: Any) -> None:
    assert {200, 400} <= attack(server, 150)
    assert server.health()["requests"] == 0
    assert not [line for line in server.log() if line["level"] == "error"]
