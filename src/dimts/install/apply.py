"""Carry out an installation plan: resolve it, install item by item, test, and roll back if anything fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dimts.base.errors import InstallError
from dimts.base.messages import Message
from dimts.install import pip, self_test
from dimts.install.host import HostInfo
from dimts.install.plan import InstallPlan, without_index

Say = Callable[[Message], None]
_SPACE = 1.3
"""Required free disk as a multiple of the installed size: pip unpacks beside its downloads."""


@dataclass(frozen=True, slots=True)
class InstallResult:
    """Result of a plan."""

    added: tuple[str, ...]
    """`name==version` of distributions that are new or in another version."""
    tests: tuple[self_test.SelfTest, ...]


def check_space(host: HostInfo, plan: InstallPlan) -> None:
    """Raise InstallError where the disk is too small for the plan."""
    if plan.bytes * _SPACE > host.free_bytes:
        needed, free = (size / 1e9 for size in (plan.bytes * _SPACE, host.free_bytes))
        raise InstallError("install.no_space", needed=needed, free=free)


def resolve(plan: InstallPlan, host: HostInfo, say: Say) -> tuple[InstallPlan, dict[str, tuple[str, ...]]]:
    """Return the plan that pip resolves, and what it would install in each call; nothing is changed.

    Where PyTorch's own index cannot be reached, the torch that pip finds by itself takes its place, if that
    suits the machine too. InstallError where pip does not resolve an item.
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, item in enumerate(plan.calls):
        say(Message("install.resolving", name=item.name))
        try:
            found[item.name] = pip.would_install(item)
        except InstallError:
            if number or not item.index or not _suits_without_index(plan, host):
                raise
            plan = without_index(plan, host)
            say(plan.notes[-1])
            check_space(host, plan)
            found[item.name] = pip.would_install(plan.calls[0])
    return plan, found


def apply(plan: InstallPlan, say: Say) -> InstallResult:
    """Install what is missing and test everything. InstallError where that fails; the earlier state is then
    restored, also after an interrupt."""
    before = pip.installed()
    try:
        for item in plan.calls:
            say(Message("install.installing", name=item.name))
            pip.install(item)
        tests = test(plan, say)
    except BaseException as error:
        say(Message("install.restoring"))
        left = pip.roll_back(before)
        if left and isinstance(error, InstallError):
            raise InstallError("install.not_restored", reason=error, left=left) from error
        say(
            Message("install.not_restored", reason=str(error), left=left)
            if left
            else Message("install.restored")
        )
        raise
    after = pip.installed()
    added = (name for name, version in after.versions.items() if before.versions.get(name) != version)
    return InstallResult(tuple(f"{name}=={after.versions[name]}" for name in sorted(added)), tests)


def test(plan: InstallPlan, say: Say) -> tuple[self_test.SelfTest, ...]:
    """Run each check of the plan's libraries. InstallError names those that failed."""
    say(Message("install.trying"))
    found = self_test.run(plan.build, plan.extras)
    failed = [
        Message("install.failed_check", name=one.name, reason=one.result) for one in found if not one.passed
    ]
    if failed:
        raise InstallError("install.self_test_failed", failed=failed)
    return found


def _suits_without_index(plan: InstallPlan, host: HostInfo) -> bool:
    """Whether PyPI's torch can replace the planned build: it is for a processor, or for CUDA 13 on Linux."""
    return plan.build == "cpu" or (host.system == "Linux" and plan.build == "cu130")
