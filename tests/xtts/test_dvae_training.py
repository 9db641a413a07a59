"""Training of the DVAE: padding counts nowhere, codes follow their vectors, dead codes return, layers begin
even."""

from __future__ import annotations

import pytest
import torch

from dimts.xtts.dvae import DVAE, Codebook
from dimts.xtts.dvae_training import (
    CODE_DEVIATION,
    code_usage,
    initialise_codebook,
    initialise_layers,
    reconstruct,
    restart_dead_codes,
    update_codebook,
)
from dimts.xtts.spec import MEL_BANDS, Spec

SPEC = Spec(dvae_hidden=8, dvae_code=6, dvae_codes=16)


def _dvae(seed: int = 1) -> DVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DVAE(SPEC)


def _mel(rows: int, frames: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(rows, MEL_BANDS, frames, generator=torch.Generator().manual_seed(seed)) - 3.0


def test_what_padding_holds_changes_no_loss_of_a_row_beyond_the_convolutions_reach() -> None:
    """Errors in padded frames are masked: a decoder that is wrong only there costs nothing."""
    dvae, mel = _dvae(), _mel(2, 64)
    lengths = [64, 32]
    plain = reconstruct(dvae, mel, lengths)
    out = dvae.decoder(dvae.codebook.look_up(dvae.encode(mel)).transpose(1, 2))
    error = (out - mel).square()
    expected = torch.cat((error[0].flatten(), error[1, :, :32].flatten())).mean()
    assert plain.reconstruction.item() == pytest.approx(expected.item(), rel=1e-5)
    assert len(plain.codes) == len(plain.vectors) == 16 + 8


def test_without_quantisation_the_codebook_gets_no_say() -> None:
    dvae, mel = _dvae(), _mel(1, 32)
    before = reconstruct(dvae, mel, quantised=False)
    with torch.no_grad():
        dvae.codebook.embed.mul_(5.0)
    after = reconstruct(dvae, mel, quantised=False)
    assert before.reconstruction.equal(after.reconstruction)
    assert float(before.commitment) == 0.0


def test_gradient_reaches_the_encoder_through_the_codes() -> None:
    dvae = _dvae()
    reconstruct(dvae, _mel(1, 32)).reconstruction.backward()
    gradient = dvae.encoder[0][0].weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_codes_move_to_the_means_of_their_vectors() -> None:
    codebook = Codebook(SPEC)
    points = torch.randn(400, SPEC.dvae_code, generator=torch.Generator().manual_seed(3))
    initialise_codebook(codebook, points[: SPEC.dvae_codes].t().contiguous(), points)
    codes = codebook.nearest(points)
    for _ in range(2000):
        update_codebook(codebook, points, codes)
    for code in range(SPEC.dvae_codes):
        if (codes == code).any():
            torch.testing.assert_close(
                codebook.embed[:, code], points[codes == code].mean(0), rtol=1e-3, atol=1e-3
            )


def test_a_codebook_from_k_means_stands_still_when_its_own_points_come_again() -> None:
    """From averages of zero, one step would throw every code away."""
    codebook = Codebook(SPEC)
    generator = torch.Generator().manual_seed(4)
    centres = torch.randn(SPEC.dvae_code, SPEC.dvae_codes, generator=generator) * 4
    points = centres.t().repeat(10, 1)
    initialise_codebook(codebook, centres, points)
    update_codebook(codebook, points, codebook.nearest(points))
    torch.testing.assert_close(codebook.embed, centres, rtol=1e-3, atol=1e-3)


def test_dead_codes_return_to_where_vectors_are_and_are_then_used() -> None:
    codebook = Codebook(SPEC)
    generator = torch.Generator().manual_seed(5)
    points = torch.randn(500, SPEC.dvae_code, generator=generator)
    with torch.no_grad():
        codebook.embed.fill_(100.0)
        codebook.embed[:, 0] = 0.0
    for _ in range(3):
        update_codebook(codebook, points, codebook.nearest(points))
    assert code_usage(codebook.nearest(points), SPEC.dvae_codes).used == 1
    assert restart_dead_codes(codebook, points, generator) == SPEC.dvae_codes - 1
    assert code_usage(codebook.nearest(points), SPEC.dvae_codes).used >= SPEC.dvae_codes // 2
    assert restart_dead_codes(codebook, points, generator) == 0


def test_layers_begin_with_even_outputs_on_mels_that_lie_far_from_zero() -> None:
    dvae, mel = _dvae(), _mel(4, 64) * 0.5 - 6.0
    initialise_layers(dvae, mel)
    with torch.no_grad():
        hidden = dvae.encoder(mel)
        begun = (dvae.decoder(hidden) - mel).square().mean()
    assert hidden.mean(dim=(0, 2)).abs().max() < 1e-3
    torch.testing.assert_close(
        hidden.std(dim=(0, 2)), torch.full((SPEC.dvae_code,), CODE_DEVIATION), rtol=1e-2, atol=1e-2
    )
    assert begun < 1.5 * mel.var(), "begins near the mean of the mel"


def test_perplexity_counts_codes_as_evenly_used() -> None:
    assert code_usage(torch.tensor([0, 1, 2, 3]), 16).perplexity == pytest.approx(4.0)
    assert code_usage(torch.tensor([5, 5, 5]), 16).perplexity == pytest.approx(1.0)
