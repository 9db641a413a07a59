"""Phone error rate after each stage of a voice, on sentences of formant speakers.
    python benchmarks/small_base.py VOICE --texts sentences.txt

original: the formant speech itself. mel: its mel through Griffin-Lim. codes: its DVAE codes, decoded, through
Griffin-Lim. resynthesis: its codes through GPT (teacher-forced) and vocoder. gpt: codes that the GPT chose
for the text, decoded, through Griffin-Lim. voice: what the voice says. Each speaker's voice is cloned from
another sentence of the same speaker. VOICE needs its DVAE beside it. Prints one JSON line; a row a sentence
with --rows.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from dimts.audio.wave import Wave
from dimts.base.errors import AudioError
from dimts.evaluate.metrics import Edits, per
from dimts.evaluate.phone_labels import word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.text.frontend import Frontend
from dimts.train.synthetic_corpus import (
    PronouncedPhrase,
    SyntheticCorpus,
    SyntheticCorpusSettings,
    read_phrases,
)
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.generate import generate_all
from dimts.xtts.griffin_lim import griffin_lim
from dimts.xtts.load import load
from dimts.xtts.mel import DVAE, log_mel, resample
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.spec import TIMBRE_RATE
from dimts.xtts.voice import CloneSettings, clone

MOST_CODES_PER_PHONE = 6


def waves(
    bundle: Bundle, corpus: SyntheticCorpus, phrase: PronouncedPhrase, speaker: int, seed: int
) -> Iterator[tuple[str, Wave]]:
    """(stage, wave) of one sentence."""
    model, stats = bundle.model, bundle.model.mel_stats
    rate, out_rate = model.spec.input_rate, model.spec.output_rate
    dvae = model.dvae
    assert dvae is not None
    clip = corpus.speak(phrase, speaker)
    yield "original", clip.wave
    audio = torch.from_numpy(clip.wave.resample(rate).samples.copy())
    mel = log_mel(audio[None], DVAE, stats)[0]
    yield "mel", _wave(griffin_lim(mel, stats), rate)
    codes = model.codes(audio[None])
    yield "codes", _wave(griffin_lim(dvae.decode(codes)[0], stats), rate)
    ids = bundle.vocabulary.encode(clip.spelling)
    other = corpus.clip(seed, speaker).wave.resample(rate).samples.copy()
    voice = clone(model, [torch.from_numpy(other)], CloneSettings(chunk_seconds=3.0))
    states = model.gpt.teacher_forced(voice.latents, ids, codes[0])[None]
    timbre = model.timbre(resample(audio[None], rate, TIMBRE_RATE))
    yield "resynthesis", _wave(model.vocoder(states, timbre)[0], out_rate)
    settings = GenerateSettings(seed=seed, max_codes=MOST_CODES_PER_PHONE * len(ids), repetition_penalty=2.0)
    sentence = generate_all(model.gpt, [voice.latents], [ids], settings)[0]
    chosen = sentence.codes[: len(sentence.codes) - sentence.stopped]
    if len(chosen):
        chosen = chosen.clamp(max=model.spec.dvae_codes - 1)
        yield "gpt", _wave(griffin_lim(dvae.decode(chosen[None])[0], stats), rate)
        yield "voice", _wave(model.vocoder(sentence.latents[None, : len(chosen)], voice.timbre)[0], out_rate)


def _wave(samples: Tensor, rate: int) -> Wave:
    return Wave(samples.float().numpy(), rate)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("voice", type=Path)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--speakers", type=int, default=4)
    parser.add_argument(
        "--corpus-speakers", type=int, default=64, help="as in training, for the same speakers"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the corpus, as in training")
    parser.add_argument("--rows", action="store_true")
    given = parser.parse_args()
    lines = given.texts.read_text(encoding="utf-8").splitlines()
    random.Random(5).shuffle(lines)
    phrases = [
        phrase
        for phrase in read_phrases(lines[: 4 * given.sentences], Frontend())
        if 3 <= len(phrase.words) <= 8
    ]
    corpus = SyntheticCorpus(
        phrases, SyntheticCorpusSettings(speakers=given.corpus_speakers), seed=given.seed
    )
    bundle, recogniser = load(given.voice, dvae=True), PhoneRecogniser.load()
    bundle.model.eval()
    total: dict[str, Edits] = {}
    shares: dict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for number, phrase in enumerate(phrases[: given.sentences]):
            wanted = [sign for word in word_labels(phrase.words) for sign in word]
            for stage, wave in waves(bundle, corpus, phrase, number % given.speakers, number):
                try:
                    phones = recogniser.recognise(wave).phones
                except AudioError:
                    phones = ()
                found = per(phones, wanted)
                total[stage] = total[stage] + found if stage in total else found
                shares[stage].append(round(found.rate, 3))
                if given.rows:
                    print(number, stage, f"{found.rate:.2f}", "".join(phones), "|", "".join(wanted))
    rates = {stage: round(edits.rate, 4) for stage, edits in total.items()}
    print(json.dumps({"sentences": min(given.sentences, len(phrases)), "phone_errors": rates}))


if __name__ == "__main__":
    main()
