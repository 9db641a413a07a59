"""Read a text file aloud: news.mp3, and news.srt with the time of every phrase.

python examples/read_news.py [TEXT_FILE]
"""

import sys
from pathlib import Path

import dimts
from dimts.audio.wave import join

TEXT = "ዛሬ መስከረም 5 ቀን 2017 ዓ.ም ነው። በአዲስ አበባ 250 ተማሪዎች ተመርቀዋል።"

text = Path(sys.argv[1]).read_text("utf-8") if len(sys.argv) > 1 else TEXT
waves, lines = [], []
for number, phrase in enumerate(dimts.Speaker.load("formant").phrases(text), start=1):
    end = phrase.start + len(phrase.wave.samples) / phrase.wave.rate
    times = [
        f"{int(t // 3600):02d}:{int(t // 60) % 60:02d}:{t % 60:06.3f}".replace(".", ",")
        for t in (phrase.start, end)
    ]
    lines += [str(number), " --> ".join(times), " ".join(word.written for word in phrase.phrase.words), ""]
    waves += [phrase.wave, dimts.Wave.silence(phrase.pause, phrase.wave.rate)]
join(waves).save("news.mp3")
Path("news.srt").write_text("\n".join(lines), "utf-8")
print(f"news.mp3, news.srt: {number} phrases")
