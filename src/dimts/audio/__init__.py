"""Audio: read and write media files, measure levels, synthesise formant speech. Independent of language."""
