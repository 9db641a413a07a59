"""`dimts setup`: plan, install and test the libraries that suit this machine, with roll-back on failure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from dimts.base.messages import Message

if TYPE_CHECKING:
    from dimts.install.plan import InstallPlan
    from dimts.install.self_test import SelfTest


def register(app: typer.Typer) -> None:
    """Add the command `setup`."""
    app.command("setup")(setup)


def setup(
    purposes: list[str] | None = typer.Option(
        None,
        "--for",
        metavar="speak|train|serve|page",
        help="What the machine is for; may be given more than once. Without it: speak and train.",
        show_default=False,
    ),
    build: str = typer.Option(
        "auto",
        "--build",
        metavar="BUILD",
        help="Build of torch: auto, cpu, cu126, cu128, cu130, xpu or pypi.",
    ),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show the plan, and whether pip resolves it."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of lines."),
) -> None:
    """Install the libraries that suit this machine into the Python that runs dimts.

    System, driver and card decide which build of torch and which libraries are planned; their sizes and what
    each brings are shown, and the plan is carried out only if you agree and pip resolves all of it. Then
    every kernel runs once and a phrase is spoken. If anything fails, what was installed before is restored.
    """
    from dimts.base.version import __version__
    from dimts.cli.output import show
    from dimts.install import apply
    from dimts.install.host import look
    from dimts.install.plan import plan_install

    host = look()
    report: dict[str, Any] = {}
    plan = plan_install(host, purposes or ["speak", "train"], __version__, build)
    try:
        report.update(_described(plan))
        if not as_json:
            _show_plan(plan)
        if plan.missing:
            apply.check_space(host, plan)
            plan, resolved = apply.resolve(plan, host, show)
            report |= {**_described(plan), "would_install": resolved}
        if dry_run:
            return
        if plan.missing and not (yes or _agreed()):
            show(Message("install.not_agreed"))
            return
        result = apply.apply(plan, show)
        report |= {"installed": result.added, "tests": [_test(one) for one in result.tests]}
        if not as_json:
            for one in result.tests:
                print(f"  {one.name:<20} {one.result.line()}")
        show(Message("install.done", count=len(result.added)))
    finally:
        if as_json:
            import json

            print(json.dumps(report, ensure_ascii=False))


def _agreed() -> bool:
    """Whether a person at a terminal agrees."""
    return sys.stdin.isatty() and input("? [y/N] ").strip().lower() in ("y", "yes", "አዎ")


def _show_plan(plan: InstallPlan) -> None:
    for note in plan.notes:
        print(note.line())
    for item in plan.items:
        state = (
            Message("install.is_there")
            if item.installed
            else Message("install.megabytes", size=item.bytes / 1e6)
        )
        print(f"  {item.name:<10} {state.line():<16} {item.brings.line()}")
    print(Message("install.sum", size=plan.bytes / 1e6).line())


def _described(plan: InstallPlan) -> dict[str, Any]:
    return {
        "build": plan.build,
        "notes": [{**note.as_dict(), "text": note.line("en")} for note in plan.notes],
        "items": [
            {
                "name": item.name,
                "installed": item.installed,
                "requirements": item.requirements,
                "index": item.index,
                "bytes": item.bytes,
                "brings": item.brings.line("en"),
            }
            for item in plan.items
        ],
    }


def _test(one: SelfTest) -> dict[str, Any]:
    text = one.result.line("en")
    return {
        "name": one.name,
        "passed": one.passed,
        "seconds": one.seconds,
        **one.result.as_dict(),
        "text": text,
    }
