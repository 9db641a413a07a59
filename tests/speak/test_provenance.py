"""Speech says that it is synthetic: fields of its files, and the mark where it is wanted and can be made."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dimts.audio.watermark import confidence, has_watermark
from dimts.audio.wave import join
from dimts.base.errors import MissingExtra
from dimts.base.version import __version__
from dimts.speak import Speaker, SpeakSettings
from dimts.speak.provenance import Provenance, file_tags

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ? ዛሬ ጠዋት ዝናብ ዘንቦ ነበር።"


def test_a_spoken_file_says_that_it_is_synthetic_and_not_what_is_spoken(tmp_path: Path) -> None:
    speaker = Speaker.load("formant")
    for form in ("wav", "flac", "ogg", "opus"):
        with av.open(speaker.say("[pause 100ms] ሰላም ለዓለም").save(tmp_path / f"x.{form}")) as file:
            found = "\n".join((dict(file.metadata) | dict(file.streams[0].metadata)).values())
        assert f"synthetic speech (dimts {__version__})" in found
        assert speaker.tags().artist in found
        assert "ሰላም" not in found
    assert all(wave.tags == speaker.tags() for wave in speaker.stream("ሰላም [pause 100ms] ለዓለም"))
    assert all(one.silence.tags == one.wave.tags == speaker.tags() for one in speaker.phrases(TEXT))


def test_name_and_licences_come_from_voice_and_model() -> None:
    model = {"licence_of_recordings": "CC BY 4.0", "licence_of_base": "CPML", "consent": "asked"}
    tags = file_tags("engine", model, "", {"name": "አበበ\n", "licence": "CC BY 4.0"})
    assert (tags.artist, tags.licence) == ("አበበ", "CC BY 4.0; CPML")
    assert file_tags("engine", {}, "", {"blend_of": [{"licence": "A"}, {"licence": "B"}]}).licence == "A; B"
    assert file_tags("engine", {}, "sara", {}).artist == "sara"
    assert len(file_tags("x" * 999, {}, "", {}).artist) == 200


def test_auto_marks_models_and_tells_where_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimts.speak.provenance.has_watermark", lambda: False)
    assert Provenance("auto", formant=True).remark is None
    assert Provenance("off", formant=False).remark is None
    remark = Provenance("auto", formant=False).remark
    assert remark is not None
    assert "pip install 'dimts[watermark]'" in remark.line()
    monkeypatch.setattr("dimts.speak.provenance.has_watermark", lambda: True)
    assert Provenance("auto", formant=False).marks
    assert not Provenance("auto", formant=True).marks


@pytest.mark.skipif(has_watermark(), reason="the extra watermark is installed")
def test_the_mark_is_refused_without_the_extra() -> None:
    with pytest.raises(MissingExtra, match="dimts\\[watermark\\]"):
        Speaker.load("formant", SpeakSettings(watermark="on"))


@pytest.mark.slow
@pytest.mark.skipif(not has_watermark(), reason="the extra watermark is not installed")
def test_whole_and_streamed_speech_are_marked_alike() -> None:
    speaker = Speaker.load("formant", SpeakSettings(watermark="on"))
    whole, streamed = speaker.say(TEXT), join(speaker.stream(TEXT))
    plain = speaker.with_settings(watermark="off").say(TEXT)
    assert len(whole.samples) == len(plain.samples)
    np.testing.assert_allclose(whole.samples, streamed.samples, atol=1e-5)
    assert confidence(whole) > 0.5 > confidence(plain)
