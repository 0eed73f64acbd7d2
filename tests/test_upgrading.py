"""Scripts of users of 0.4.0 run unchanged."""

from __future__ import annotations

import ast
import uuid
from pathlib import Path

import pytest
import script_for_040
import test_reference
from stores import Store

SCRIPT = Path(script_for_040.__file__)


@pytest.mark.stores("local", "moto")
def test_a_script_for_040_runs_as_it_is(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = f"cc-{uuid.uuid4().hex[:16]}"
    scratch = str(Path(store.container).parent / second) if store.name == "local" else second
    access = store.access
    script_for_040.run(
        store.container,
        access["access_key"],
        access["secret_key"],
        access["endpoint_url"],
        store.backend_name,
        scratch,
        str(tmp_path / "disk"),
    )
    printed = capsys.readouterr().out
    assert store.container in printed
    assert "results/s01.grp" in printed
    assert "notes/day1.txt" in printed


def calls() -> dict[str, list[ast.Call]]:
    found: dict[str, list[ast.Call]] = {}
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found.setdefault(node.func.attr, []).append(node)
    return found


def test_the_script_makes_every_published_call_with_every_parameter() -> None:
    found, missing = calls(), []
    for method in test_reference.METHODS:
        name = method.owner if method.name == "__init__" and method.owner == "BasicInterface" else method.name
        if name == "__init__":
            continue  # of classes that pass all on
        uses = found.get(name, [])
        given = {keyword.arg for call in uses for keyword in call.keywords}
        most = max((len(call.args) for call in uses), default=-1)
        named = [one for one, kind, _ in method.parameters if not kind.startswith("VAR")]
        missing += [f"{name}({one})" for i, one in enumerate(named) if i >= most and one not in given]
        missing += [name] * (not uses)
    assert missing == []
