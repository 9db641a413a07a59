"""One decoding loop for many threads: nobody hears another, whoever leaves frees the slot, and errors stay at
home."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dimts.base.errors import SynthesisError
from dimts.xtts.model import XTTS
from dimts.xtts.sampling import DecodingStep, GenerateSettings
from dimts.xtts.scheduler import Cancelled, DecodingScheduler
from dimts.xtts.spec import SPECS
from dimts.xtts.vocabulary import Vocabulary

DRAWN = GenerateSettings(temperature=1.3, top_k=0, top_p=1.0, max_codes=40)
ENDLESS = replace(DRAWN, max_codes=0)


@pytest.fixture
def model(vocabulary: Vocabulary) -> XTTS:
    """One that can speak for seconds, so that a sentence is still running when another thread comes to its
    turn."""
    spec = replace(SPECS["tiny"], layers=2, width=64, text_ids=vocabulary.size, max_text=60, max_audio=6000)
    model = XTTS.build(spec, seed=5, dvae=False)
    model.gpt.use_dropout(0.0)
    return model


@pytest.fixture
def loop(model: XTTS) -> Iterator[DecodingScheduler]:
    with torch.no_grad():  # so that no sentence ends by itself
        model.gpt.mel_head.bias[model.spec.stop_audio] -= 1000.0
    found = DecodingScheduler(model.gpt, 4)
    yield found
    found.close()


@pytest.fixture
def latents(model: XTTS) -> Tensor:
    return torch.randn(1, 32, model.spec.width, generator=torch.Generator().manual_seed(2))


def empty(loop: DecodingScheduler) -> None:
    """Wait until nobody speaks any more: a sentence of another session goes through the whole loop."""
    list(
        loop.session().generate(
            torch.zeros(1, 32, loop._gpt.spec.width), [5], replace(DRAWN, seed=0, max_codes=1)
        )
    )
    assert loop.speaking == 0
    assert loop.waiting == 0


def said(steps: list[DecodingStep]) -> tuple[list[int], Tensor]:
    return [step.code for step in steps], torch.stack([step.latent for step in steps])


def test_each_thread_hears_its_own_sentence_as_if_alone(loop: DecodingScheduler, latents: Tensor) -> None:
    jobs = [([5 + n % 7] * (1 + 5 * n % 23), replace(DRAWN, seed=n, max_codes=20 + n)) for n in range(24)]

    def say(job: tuple[list[int], GenerateSettings]) -> tuple[list[int], Tensor]:
        return said(list(loop.session().generate(latents, *job)))

    alone = [say(job) for job in jobs]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(say, jobs))
    for (codes, states), (codes_alone, states_alone) in zip(together, alone, strict=True):
        assert codes == codes_alone
        if loop.repeatable:
            assert torch.equal(states, states_alone)
    whole = loop.session().generate_all(
        [latents] * 24, [ids for ids, _ in jobs], [settings for _, settings in jobs]
    )
    assert [sentence.codes.tolist() for sentence in whole] == [codes for codes, _ in alone]


def test_whoever_leaves_frees_the_slot(loop: DecodingScheduler, latents: Tensor) -> None:
    sessions = [loop.session() for _ in range(loop.slots)]
    running = [
        session.generate(latents, [5, 6], replace(ENDLESS, seed=n)) for n, session in enumerate(sessions)
    ]
    for steps in running:
        next(steps)
    assert loop.speaking == loop.slots
    waiting = loop.session()
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(lambda: len(list(waiting.generate(latents, [7], replace(DRAWN, seed=1)))))
        sessions[0].cancel()
        assert heard.result(60) == 40
    with pytest.raises(Cancelled):
        list(running[0])
    running[1].close()  # the other way to leave: to stop listening
    sessions[2].cancel()
    sessions[3].cancel()
    empty(loop)


def test_one_who_waits_may_leave_too(loop: DecodingScheduler, latents: Tensor) -> None:
    sessions = [loop.session() for _ in range(loop.slots)]
    for session in sessions:
        next(session.generate(latents, [5], ENDLESS)) if False else None
    held = [session.generate(latents, [5], replace(ENDLESS, seed=0)) for session in sessions]
    for steps in held:
        next(steps)
    late, begun = loop.session(), threading.Event()

    def wait() -> None:
        begun.set()
        with pytest.raises(Cancelled):
            list(late.generate(latents, [5], ENDLESS))

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(wait)
        begun.wait()
        late.cancel()
        done.result(60)
    for session in sessions:
        session.cancel()
    empty(loop)


def test_the_last_sentence_is_said_to_its_end_and_no_other_begins(
    loop: DecodingScheduler, latents: Tensor
) -> None:
    session = loop.session()
    steps = session.generate(latents, [5, 6], replace(DRAWN, seed=3))
    first = next(steps)
    session.finish()
    assert len([first, *steps]) == 40
    with pytest.raises(Cancelled):
        next(session.generate(latents, [5, 6], DRAWN))


def test_an_error_is_told_to_whom_it_belongs(loop: DecodingScheduler, latents: Tensor, model: XTTS) -> None:
    with pytest.raises(SynthesisError, match="1 to 60"):
        list(loop.session().generate(latents, [5] * 61, DRAWN))
    broken = model.gpt.mel_head.bias.detach().clone()
    running = loop.session().generate(latents, [5], replace(ENDLESS, seed=0))
    next(running)
    with torch.no_grad():
        model.gpt.mel_head.bias.fill_(float("nan"))
    with pytest.raises(SynthesisError, match="not a number"):
        list(running)
    with torch.no_grad():
        model.gpt.mel_head.bias.copy_(broken)
    assert len(list(loop.session().generate(latents, [5], replace(DRAWN, seed=0)))) == 40, (
        "and the loop goes on"
    )


def test_at_its_end_nobody_waits_for_ever(model: XTTS, latents: Tensor) -> None:
    loop = DecodingScheduler(model.gpt, 2)
    running = loop.session().generate(latents, [5], replace(ENDLESS, seed=0))
    next(running)
    loop.close()
    with pytest.raises(Cancelled):
        list(running)
    with pytest.raises(Cancelled):
        list(loop.session().generate(latents, [5], DRAWN))
