"""Statements of consent: what is stored is found again, what is damaged spoils nothing else."""

from __future__ import annotations

import json
import os
import stat
import string
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import DimtsError, SynthesisError
from dimts.base.user_folders import data_folder
from dimts.speak.consent import (
    MAX_CONSENT_LETTERS,
    MIN_CONSENT_LETTERS,
    ConsentStatement,
    ConsentStore,
    consent_text,
)

A, B = "a" * 64, "ab" * 32
TEXT = "አበበ ከበደ፣ በ2026-03-01 የተፈረመ ቅጽ"
STATEMENT = ConsentStatement(A, TEXT, "abebe.wav", 1_772_323_200)
LETTERS = st.characters(codec="utf-8", exclude_categories=("C", "Z"))


@settings(max_examples=30)
@given(
    st.text(LETTERS, min_size=10, max_size=60).filter(lambda text: len(consent_text_or_none(text)) >= 10),
    st.text(string.hexdigits.lower()[:16], min_size=64, max_size=64),
    st.text(st.characters(codec="utf-8")),
    st.integers(0, 2**33),
)
def test_what_is_stored_is_found(
    tmp_path_factory: pytest.TempPathFactory, text: str, sha256: str, name: str, created: int
) -> None:
    store = ConsentStore(tmp_path_factory.getbasetemp() / "consent")
    statement = ConsentStatement(sha256, consent_text(text), name, created)
    store.add(statement)
    assert store.find(sha256) == statement
    assert store.matching(sha256) == sha256
    assert store.withdraw(sha256)
    assert store.find(sha256) is None
    assert not store.withdraw(sha256)


def consent_text_or_none(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def test_the_store_is_the_users_own_and_private(tmp_path: Path) -> None:
    store = ConsentStore()
    path = store.add(STATEMENT)
    assert path == data_folder() / "consent" / f"{A}.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "consent": TEXT, "recording": "abebe.wav", "created": STATEMENT.created,
    }  # fmt: skip
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert [one.name for one in store.folder.iterdir()] == [path.name]
    assert STATEMENT.day == "2026-03-01"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"consent": "signed form"}',
        b'{"consent": 5, "recording": "a", "created": 1}',
        b'{"consent": "yes", "recording": "a", "created": 1}',
        b'{"consent": "signed form", "recording": 5, "created": 1}',
        b'{"consent": "signed form", "recording": "a", "created": "now"}',
        b'{"consent": "signed form", "recording": "a", "created": 1e400}',
        b'{"consent": "signed form", "recording": "a", "created": 99999999999999999999}',
    ],
)  # fmt: skip
def test_a_damaged_statement_is_named_and_spoils_no_other(tmp_path: Path, content: bytes) -> None:
    store = ConsentStore(tmp_path / "consent")
    store.add(ConsentStatement(B, TEXT, "b.wav", 1))
    store.add(STATEMENT).write_bytes(content)
    with pytest.raises(SynthesisError) as caught:
        store.find(A)
    assert caught.value.code == "speak.consent_unreadable"
    assert caught.value.message.parameters["path"].endswith(f"{A}.json")
    assert store.find(B) is not None
    assert list(store.hashes()) == [A, B]
    store.add(STATEMENT)
    assert store.find(A) == STATEMENT


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "speak.consent_too_short"), ("  yes    \n   ", "speak.consent_too_short"),
        ("ሀ" * (MIN_CONSENT_LETTERS - 1), "speak.consent_too_short"),
        ("ሀ" * (MAX_CONSENT_LETTERS + 1), "speak.consent_too_long"),
        ("signed\x00form", "speak.consent_unprintable"), ("signed form \ud800", "speak.consent_unprintable"),
        ("signed form\x1b[2J", "speak.consent_unprintable"),
    ],
)  # fmt: skip
def test_what_is_no_statement(text: str, code: str) -> None:
    with pytest.raises(SynthesisError) as caught:
        consent_text(text)
    assert caught.value.code == code
    assert consent_text(f" {TEXT}\nin two lines ") == f"{TEXT}\nin two lines"


def test_the_beginning_of_a_hash_names_one_recording(tmp_path: Path) -> None:
    store = ConsentStore(tmp_path / "consent")
    twin = A[:-1] + "0"
    for sha256 in (A, twin, B):
        store.add(ConsentStatement(sha256, TEXT, "", 1))
    (store.folder / "notes.json").write_text("{}", encoding="utf-8")
    assert store.matching(B[:8]) == B
    assert store.matching(A) == A
    for start, code in (
        (A[:8], "ambiguous"),
        (B[:7], "not_found"),
        ("c" * 8, "not_found"),
        ("*", "not_found"),
    ):
        with pytest.raises(SynthesisError) as caught:
            store.matching(start)
        assert caught.value.code == f"speak.consent_{code}"


def test_a_folder_that_cannot_be_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = ConsentStore(tmp_path / "file" / "consent")
    assert store.find(A) is None
    assert not store.withdraw(A)
    with pytest.raises(DimtsError) as caught:
        store.add(STATEMENT)
    assert caught.value.code == "base.cannot_write"


def test_two_processes_at_once_leave_a_whole_statement_of_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from dimts.speak.consent import ConsentStatement, ConsentStore\n"
        "store = ConsentStore(Path(sys.argv[1])); sys.stdin.read()\n"
        "for number in range(40):\n"
        f"    store.add(ConsentStatement({A!r}, sys.argv[2] * 900, 'a.wav', number))\n"
        f"    assert store.find({A!r}) is not None\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "consent"), letter],
            stdin=subprocess.PIPE,
        )
        for letter in "xy"
    ]
    for one in running:
        assert one.stdin is not None
        one.stdin.close()
    assert [one.wait() for one in running] == [0, 0]
    found = ConsentStore(tmp_path / "consent").find(A)
    assert found is not None
    assert found.consent in ("x" * 900, "y" * 900)
    assert len(list((tmp_path / "consent").iterdir())) == 1
