"""A plan is carried out by the real pip in an environment of its own; what fails leaves that as it was."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from dimts.base.errors import InstallError
from dimts.install import apply, self_test
from dimts.install.host import HostInfo
from dimts.install.pip import Installed, Rollback, rollback_between
from dimts.install.plan import InstallPlan, plan_install

SOURCE = Path(__file__).parents[2] / "src"


def test_the_way_back_removes_what_was_added_and_restores_what_changed() -> None:
    before = Installed(
        {"a": "1", "b": "1", "c": "2"}, {"a": "a==1", "b": "-e /some/b", "c": "c @ file:///c.whl"}
    )
    after = Installed({"a": "2", "b": "1", "d": "1"}, {"a": "a==2", "b": "-e /some/b", "d": "d==1"})
    assert rollback_between(before, after) == Rollback(("d",), ("a==1", "c @ file:///c.whl"))
    assert rollback_between(before, before) == Rollback((), ())


def test_a_plan_that_the_disk_cannot_hold_is_refused_before_pip_runs() -> None:
    host = HostInfo("Linux", "x86_64", (3, 11), 64, free_bytes=10**9)
    with pytest.raises(InstallError) as caught:
        apply.check_space(host, plan_install(host, ["speak"], "0.2.0"))
    assert caught.value.code == "install.no_space"


@pytest.mark.slow
def test_each_kernel_runs_once_and_a_phrase_is_spoken() -> None:
    found = self_test.run("cpu", ["formant", "speak"])
    assert [one.name for one in found] == [
        "libraries",
        "torch",
        "attention eager",
        "attention sdpa",
        "optimizer",
        "speech",
    ]
    assert all(one.passed for one in found), [one.result.text("en") for one in found]
    assert found[-1].result.parameters["phrase"] == self_test.PHRASE
    assert found[-1].result.parameters["seconds"] > 0.5


@pytest.mark.slow
def test_a_build_without_its_card_is_found_out() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    items = plan_install(HostInfo("Linux", "x86_64", (3, 11), 64, 0), ["speak"], "0").items
    plan = InstallPlan("cu130", tuple(item for item in items if item.name == "speak"), ())
    with pytest.raises(InstallError) as caught:
        apply.test(plan, lambda message: None)
    assert caught.value.code == "install.self_test_failed"
    assert [one.parameters["reason"].code for one in caught.value.message.parameters["failed"]] == [
        "install.torch_sees_no_card"
    ]


def test_a_process_that_ends_without_an_answer_is_a_failed_check() -> None:
    found = self_test.run("cpu", ["formant", "speak"], seconds=0.01)
    assert [(one.passed, one.result.code) for one in found] == [(False, "install.self_test_too_long")]


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """Write a wheel with one empty module."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {one}\n" for one in needs
    )
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text)}\n"
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


SCRIPT = """
import json, sys
from dimts.base.errors import InstallError
from dimts.base.messages import Message
from dimts.install import apply, pip
from dimts.install.host import HostInfo
from dimts.install.plan import InstallPlan, PlanItem

names, index, extras = json.loads(sys.argv[1])
items = [PlanItem("torch", (name,), index, 0, Message("install.sum", size=0.0), False) for name in names]
there = [PlanItem(extra, (), "", 0, Message("install.sum", size=0.0), True) for extra in extras]
plan = InstallPlan("cpu", (*items, *there), ())
said = []
host = HostInfo("Linux", "x86_64", (3, 11), 64, 10**12)
before = pip.installed().versions
try:
    _, groups = apply.resolve(plan, host, lambda m: said.append(m.code))
    resolved = [sorted(found) for found in groups.values()]
    done = apply.apply(plan, lambda m: said.append(m.code))
    result = {"resolved": resolved, "added": done.added}
except InstallError as error:
    result = {"error": error.code}
print(json.dumps({**result, "said": said, "before": before, "after": pip.installed().versions}))
"""


@pytest.mark.slow
def test_pip_installs_for_real_and_what_fails_is_taken_back(tmp_path: Path) -> None:
    """In an environment of its own: an upgrade that works; then one after which the self-test fails."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "dimtstestone", "1.0")
    wheel(wheels, "dimtstesttwo", "1.0", "dimtstestone>=2.0")
    wheel(wheels, "dimtstestone", "2.0")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment = {**clean, "PYTHONPATH": str(SOURCE), "PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1",
                   "PIP_CONFIG_FILE": os.devnull}  # fmt: skip

    def run(names: list[str], extras: list[str]) -> dict[str, object]:
        command = [str(python), "-c", SCRIPT, json.dumps([names, "", extras])]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=600
        )
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    pip = [str(python), "-m", "pip", "install", "--quiet", "dimtstestone==1.0"]
    subprocess.run(pip, env=environment, check=True, timeout=600)
    broken = run(["dimtstesttwo"], ["formant"])  # its libraries are not there: the self-test must fail
    assert broken["error"] == "install.self_test_failed"
    assert broken["said"][-2:] == ["install.restoring", "install.restored"]  # type: ignore[index]
    assert broken["after"] == broken["before"]
    assert broken["after"]["dimtstestone"] == "1.0"  # type: ignore[index]

    unresolved = run(["dimtstestnone"], [])
    assert unresolved["error"] == "install.does_not_resolve"
    assert unresolved["after"] == broken["before"]

    works = run(["dimtstesttwo"], [])
    assert works["resolved"] == [["dimtstestone 2.0", "dimtstesttwo 1.0"]]
    assert works["added"] == ["dimtstestone==2.0", "dimtstesttwo==1.0"]


@pytest.mark.slow
@pytest.mark.network
def test_a_bare_environment_speaks_after_setup(tmp_path: Path) -> None:
    """From the command line's libraries alone to a spoken phrase."""
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    pip = [python, "-m", "pip", "install", "--quiet", f"{SOURCE.parent}[cli]"]
    subprocess.run(pip, check=True, timeout=1800)
    command = [python, "-m", "dimts", "setup", "--for", "speak", "--yes", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert all(one["passed"] for one in report["tests"])
    assert {"formant", "speak"} <= {item["name"] for item in report["items"]}
    again = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, check=True)
    assert all(item["installed"] for item in json.loads(again.stdout)["items"])
