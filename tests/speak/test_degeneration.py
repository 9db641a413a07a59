"""Loops, tails and cuts, planted in a real decoding loop, are found; what is spoken well is left alone.

A tiny model is driven through its position table: one part of it decides where a head looks in the text,
another which code comes next. Decoding, attention and sampling are the engine's own.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dimts.speak.degeneration import Fault, find_faults, find_running_fault
from dimts.speak.settings import PHONE_SECONDS

torch = pytest.importorskip("torch")

from dimts.xtts.generate import collect, generate  # noqa: E402
from dimts.xtts.model import XTTS  # noqa: E402
from dimts.xtts.monotonic_path import monotonic_path  # noqa: E402
from dimts.xtts.sampling import GenerateSettings  # noqa: E402
from dimts.xtts.spec import SPECS  # noqa: E402

RATE = 22_050 / 1024
PLACE = 32
"""Width of a head, and of the part of a position that says where to look."""


@dataclass
class Plan:
    """What the model is made to do, code by code."""

    ids: int
    looks: list[float]
    """Which text id is looked at."""
    codes: list[int]
    stops: bool = True


class Driven:
    """A tiny model whose attention and codes follow a plan."""

    def __init__(self) -> None:
        spec = replace(SPECS["tiny"], layers=2)
        self.model = XTTS.build(spec, 3, dvae=False)
        self.spec, gpt = spec, self.model.gpt
        luck = torch.Generator().manual_seed(4)
        rates = torch.logspace(-2.4, 0.1, PLACE // 2)
        self.rates = rates
        self.sign = torch.randn(spec.audio_ids, 64, generator=luck).sign()
        with torch.no_grad():
            for embedding in (gpt.text_embedding, gpt.mel_embedding):
                embedding.weight.mul_(0.5)
            gpt.text_pos_embedding.emb.weight.zero_()
            count = spec.text_positions - 1
            gpt.text_pos_embedding.emb.weight[1:, :PLACE] = self.features(torch.arange(count).float())
            attention = gpt.trunk.blocks()[0].attn.c_attn
            attention.weight[:, :PLACE] = 0.0
            attention.weight[:PLACE, :PLACE] = 2.0 * torch.eye(PLACE)
            attention.weight[:, spec.width : spec.width + PLACE] = 0.0
            attention.weight[:PLACE, spec.width : spec.width + PLACE] = 2.0 * torch.eye(PLACE)
            gpt.mel_head.weight.zero_()
            gpt.mel_head.weight[:, 64:] = self.sign
            gpt.mel_head.bias.zero_()

    def features(self, places: Any) -> Any:
        angles = places[:, None] * self.rates
        return torch.cat((angles.cos(), angles.sin()), dim=1)  # [n, PLACE]

    def speak(self, plan: Plan, seed: int) -> tuple[list[int], list[float] | None, bool]:
        """Codes without STOP, the path, whether it stopped."""
        table = self.model.gpt.mel_pos_embedding.emb.weight
        codes = [*plan.codes, self.spec.stop_audio] if plan.stops else plan.codes
        with torch.no_grad():
            table.zero_()
            table[: len(codes), :PLACE] = self.features(
                torch.tensor([*plan.looks, plan.looks[-1]])[: len(codes)]
            )
            table[: len(codes), 64:] = self.sign[codes]
        luck = random.Random(seed)
        ids = [luck.randrange(4, 120) for _ in range(plan.ids)]
        settings = GenerateSettings(seed=seed, max_codes=len(codes), repetition_penalty=1.0)
        latents = torch.randn(1, 32, self.spec.width, generator=torch.Generator().manual_seed(seed)) * 0.1
        said = collect(
            list(generate(self.model.gpt, latents, ids, settings, record_attention=True)), self.spec
        )
        kept = said.codes[:-1] if said.stopped else said.codes
        return kept.tolist(), monotonic_path(said.attention), said.stopped


def well_spoken(luck: random.Random) -> tuple[int, Plan]:
    """Phones, and a calm reading: tempo, hesitations, silence before and after, attention that trembles."""
    phones = luck.randint(14, 45)
    ids = phones + luck.randint(0, 6)
    per_id = phones * PHONE_SECONDS * RATE / ids * luck.uniform(0.75, 1.3)
    looks: list[float] = [0.0] * luck.randint(1, 6)
    place = 0.0
    while place < ids - 1:
        looks.append(place)
        place += luck.uniform(0.5, 1.5) / per_id
        if luck.random() < 0.02:
            looks += [place] * luck.randint(3, 8)
    looks += [ids - 1.0] * luck.randint(1, 9)
    looks = [min(max(look + luck.uniform(-0.8, 0.8), 0.0), ids - 1.0) for look in looks]
    return phones, Plan(ids, looks, sounds(len(looks), luck))


def sounds(count: int, luck: random.Random) -> list[int]:
    """Codes without a pattern, but for silences that are held."""
    codes: list[int] = []
    while len(codes) < count:
        codes += [7] * luck.randint(2, 8) if luck.random() < 0.03 else [luck.randrange(250)]
    return codes[:count]


def spoilt(kind: str, luck: random.Random) -> tuple[int, Plan]:
    phones, plan = well_spoken(luck)
    count = len(plan.looks)
    if kind == "tail":
        more = round(luck.uniform(1.2, 4.0) * RATE)
        plan.looks += [plan.ids - 1.0 - luck.uniform(0, 0.05) * plan.ids for _ in range(more)]
        plan.codes += sounds(more, luck)
    elif kind == "reads again":
        at = luck.randint(count // 2, count - 3)
        back = next(
            i
            for i, look in enumerate(plan.looks)
            if look >= max(plan.looks[at] - luck.uniform(0.4, 0.5) * plan.ids, 0)
        )
        plan.looks = plan.looks[:at] + plan.looks[back:]
        plan.codes += sounds(len(plan.looks) - len(plan.codes), luck)
    elif kind == "stammers":
        at, period = luck.randint(count // 4, count - 2), luck.randint(2, 20)
        times = luck.randint(3, 5) + round(12 / period)
        pattern = [luck.randrange(250) for _ in range(period)]
        plan.codes = plan.codes[:at] + pattern * times + plan.codes[at:]
        plan.looks = plan.looks[:at] + [plan.looks[at]] * (period * times) + plan.looks[at:]
    elif kind == "cut":
        end = round(count * luck.uniform(0.3, 0.75))
        plan = replace(plan, looks=plan.looks[:end], codes=plan.codes[:end])
    else:
        plan = replace(plan, stops=False)
    return phones, plan


EXPECTED = {"tail": "tail", "reads again": "loop", "stammers": "loop", "cut": "cut", "endless": "endless"}


@pytest.fixture(scope="module")
def driven() -> Driven:
    torch.set_num_threads(1)
    return Driven()


@pytest.mark.parametrize(("good", "bad_each"), [(30, 12), pytest.param(150, 40, marks=pytest.mark.slow)])
def test_what_is_planted_is_found_and_what_is_good_is_left(driven: Driven, good: int, bad_each: int) -> None:
    """At least 95 % of the faults, at most 5 % of the good phrases."""
    luck = random.Random(20)
    found, alone, paths = Counter[str](), Counter[str](), 0
    for seed in range(good):
        phones, plan = well_spoken(luck)
        codes, seen, stopped = driven.speak(plan, seed)
        assert stopped
        assert codes == plan.codes
        paths += seen is not None
        found["good"] += bool(find_faults(codes, phones, RATE, path=seen, stopped=stopped))
        alone["good"] += bool(find_faults(codes, phones, RATE, stopped=stopped))
    for kind, expected in EXPECTED.items():
        for seed in range(bad_each):
            phones, plan = spoilt(kind, luck)
            codes, seen, stopped = driven.speak(plan, seed)
            kinds = {fault.kind for fault in find_faults(codes, phones, RATE, path=seen, stopped=stopped)}
            found[kind] += bool(kinds)
            found[f"{kind}, by its name"] += expected in kinds
            alone[kind] += bool(find_faults(codes, phones, RATE, stopped=stopped))
    bad = bad_each * len(EXPECTED)
    print(
        f"false alarms {found['good']}/{good}; found {dict(found)} of "
        f"{bad_each} each; without attention {dict(alone)}"
    )
    assert paths >= 0.95 * good
    assert found["good"] <= 0.05 * good
    assert alone["good"] <= 0.05 * good
    assert sum(found[kind] for kind in EXPECTED) >= 0.95 * bad
    assert all(found[f"{kind}, by its name"] >= 0.9 * bad_each for kind in EXPECTED)


def test_a_phrase_in_progress_is_judged_by_what_has_been_heard() -> None:
    """Too few codes are no fault before the end; a loop is one as soon as it can be told."""
    luck = random.Random(3)
    codes = [luck.randrange(250) for _ in range(12)]
    assert find_running_fault(codes, 40, RATE, None) is None
    pattern = [1, 2, 3, 4]
    fault = find_running_fault([*codes, *pattern * 5], 40, RATE, None)
    assert fault is not None
    assert fault.kind == "loop"
    assert fault.at == len(codes) + len(pattern)


def test_each_fault_is_told_in_words() -> None:
    luck = random.Random(5)
    codes = [luck.randrange(250) for _ in range(80)]
    ahead = [i / 30 for i in range(31)]
    again = [*ahead[:28], *ahead[5:14]]
    for kind, faults in {
        "loop": find_faults(codes[:38], 20, RATE, path=again),
        "tail": find_faults(codes, 20, RATE),
        "cut": find_faults(codes[:20], 20, RATE, path=ahead[:15]),
        "endless": find_faults(codes[:40], 20, RATE, stopped=False),
    }.items():
        assert [fault.kind for fault in faults] == [kind]
        assert isinstance(faults[0], Fault)
        assert faults[0].reason.code.startswith("speak.fault_")
        assert faults[0].reason.text("am") != faults[0].reason.text("en")
    assert find_faults(codes[:35], 20, RATE, path=ahead) == []
    assert [fault.kind for fault in find_faults(codes[:12], 20, RATE)] == ["cut"]
