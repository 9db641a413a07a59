"""Sound: media files ↔ waves, levels, and the formant voice. Knows no language."""
