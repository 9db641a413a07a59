"""Voices are heard, kept and blended; a stream is the whole, whatever the pieces; folded weights follow
changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dimts.base.errors import AudioError, CheckpointError, ConfigError, SynthesisError
from dimts.xtts import weights
from dimts.xtts.model import XTTS
from dimts.xtts.pace import StreamSettings
from dimts.xtts.spec import SPECS
from dimts.xtts.stream import VocoderStream, stream
from dimts.xtts.voice import CloneSettings, Voice, clone

RATE = 22_050


@pytest.fixture(scope="module")
def tiny() -> XTTS:
    return XTTS.build(SPECS["tiny"], seed=4)


def noise(seconds: float, seed: int = 1) -> Tensor:
    return torch.randn(int(seconds * RATE), generator=torch.Generator().manual_seed(seed)) * 0.1


def sentence(tiny: XTTS, count: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, tiny.spec.width, generator=generator)
    return latents, torch.randn(1, tiny.spec.timbre_width, 1, generator=generator)


@settings(max_examples=12, deadline=None)
@given(
    count=st.integers(1, 60),
    speed=st.sampled_from((1.0, 0.99, 0.9, 0.7, 1.1, 1.5, 2.0)),
    cuts=st.lists(st.integers(1, 25), min_size=1, max_size=12),
)
def test_a_stream_is_the_whole_whatever_the_pieces(
    tiny: XTTS, count: int, speed: float, cuts: list[int]
) -> None:
    latents, timbre = sentence(tiny, count)
    with torch.no_grad():
        whole = tiny.vocoder(latents[None], timbre, speed)[0]
    running, parts, at = VocoderStream(tiny.vocoder, timbre, speed), [], 0
    while at < count:
        size = cuts[len(parts) % len(cuts)]
        parts.append(running.push(latents[at : at + size]))
        at += size
    streamed = torch.cat([*parts, running.finish()])
    assert len(streamed) == len(whole) == tiny.vocoder.hop * tiny.vocoder.frames(count, speed)
    if len(whole):
        assert float((streamed - whole).abs().max()) <= 1e-4 * float(whole.abs().max())


def test_each_latent_is_decoded_once_and_memory_stays_flat(tiny: XTTS) -> None:
    latents, timbre = sentence(tiny, 400)
    running = VocoderStream(tiny.vocoder, timbre)
    lengths, held = [], []
    for part in latents.split(20):
        lengths.append(len(running.push(part)))
        held.append(sum(stage.held.shape[-1] for stage in running._stretches if stage.held is not None))
    assert max(lengths[1:]) - min(lengths[1:]) <= 2 * 256  # the same work for every piece, none done again
    assert max(held) == max(held[:3])


def test_chunks_come_as_asked_and_none_is_empty(tiny: XTTS) -> None:
    latents, timbre = sentence(tiny, 65)
    taken: list[int] = []

    def arriving() -> Iterator[Tensor]:
        for i, latent in enumerate(latents):
            taken.append(i)
            yield latent

    chunks = stream(tiny.vocoder, arriving(), timbre, StreamSettings(first_latents=6, chunk_latents=30))
    first = next(chunks)
    assert len(taken) == 6
    parts = [first, *chunks]
    assert all(len(part) for part in parts)
    with torch.no_grad():
        whole = tiny.vocoder(latents[None], timbre)[0]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-5)
    assert list(stream(tiny.vocoder, [], timbre)) == []


def test_an_ended_stream_takes_no_more(tiny: XTTS) -> None:
    latents, timbre = sentence(tiny, 3)
    running = VocoderStream(tiny.vocoder, timbre)
    running.push(latents)
    running.finish()
    with pytest.raises(ValueError, match="has ended"):
        running.push(latents)
    with pytest.raises(ConfigError, match="too slow"):
        StreamSettings(speed=0.01)


def test_folded_weights_follow_their_parameters() -> None:
    tiny = XTTS.build(SPECS["tiny"], seed=4)
    latents, timbre = sentence(tiny, 5)
    layer = tiny.vocoder.ups[0]
    with torch.no_grad():
        before = tiny.vocoder(latents[None], timbre)
        assert layer.weight() is layer.weight()  # type: ignore[operator]
        layer.parametrizations["weight"].original0.mul_(2)  # type: ignore[index, union-attr]
        after = tiny.vocoder(latents[None], timbre)
    assert not torch.allclose(before, after)
    for parameter in tiny.vocoder.parameters():
        parameter.requires_grad_(True)
    assert torch.allclose(tiny.vocoder(latents[None], timbre).detach(), after, atol=1e-6)
    tiny.vocoder(latents[None], timbre).sum().backward()
    assert layer.parametrizations["weight"].original0.grad is not None  # type: ignore[index, union-attr]


def test_listening_is_deterministic_and_knows_its_limits(tiny: XTTS) -> None:
    voice = clone(tiny, [noise(5)], name="x")
    again = clone(tiny, [noise(5)], name="x")
    assert torch.equal(voice.latents, again.latents)
    assert voice.latents.shape == (1, 32, tiny.spec.width)
    assert float(voice.timbre.norm()) == pytest.approx(1.0, abs=1e-5)
    other = clone(tiny, [noise(5, 2)])
    assert not torch.allclose(voice.latents, other.latents)
    short = clone(tiny, [noise(40)], CloneSettings(max_reference_seconds=5))
    assert torch.equal(short.latents, clone(tiny, [noise(40)[: 5 * RATE]]).latents)


@pytest.mark.parametrize(
    "wave",
    [torch.zeros(2, 9000), torch.zeros(100), torch.full((9000,), float("nan"))],
    ids=["stereo", "short", "nan"],
)
def test_references_that_cannot_be_heard_are_refused(wave: Tensor, tiny: XTTS) -> None:
    with pytest.raises(AudioError):
        clone(tiny, [wave])
    with pytest.raises(AudioError, match="no reference"):
        clone(tiny, [])


def test_voices_are_kept_and_blended(tiny: XTTS, tmp_path: Path) -> None:
    first, second = (clone(tiny, [noise(2, seed)], name=f"voice {seed}") for seed in (1, 2))
    first.save(tmp_path / "a.voice")
    again = Voice.load(tmp_path / "a.voice")
    assert torch.equal(again.latents, first.latents)
    assert torch.equal(again.timbre, first.timbre)
    assert again.meta == {"name": "voice 1"}
    again.save(tmp_path / "b.voice")
    assert (tmp_path / "a.voice").read_bytes() == (tmp_path / "b.voice").read_bytes()
    blend = Voice.blend([(first, 3.0), (second, 1.0)])
    assert torch.allclose(blend.latents, 0.75 * first.latents + 0.25 * second.latents, atol=1e-6)
    assert torch.allclose(Voice.blend([(first, 2.0)]).timbre, first.timbre)
    with pytest.raises(ConfigError):
        Voice.blend([])


def test_voices_of_another_model_or_file_are_refused(tiny: XTTS, tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="wide"):
        Voice(torch.zeros(1, 32, 5), torch.zeros(1, 64, 1)).check(tiny)
    with pytest.raises(CheckpointError, match="NaN"):
        Voice(torch.full((1, 32, 5), float("nan")), torch.zeros(1, 64, 1))
    with pytest.raises(CheckpointError, match="shape"):
        Voice(torch.zeros(32, 5), torch.zeros(1, 64, 1))
    weights.write_safetensors(tmp_path / "x.voice", {"a": torch.zeros(1)})
    (tmp_path / "y.voice").write_bytes(b"voice")
    for name in ("x", "y", "z"):
        with pytest.raises(CheckpointError, match=rf"{name}\.voice"):
            Voice.load(tmp_path / f"{name}.voice")
