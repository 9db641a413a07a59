"""The theme of gradio's page: colours, and fonts of the user's machine, none from the network."""

from __future__ import annotations

import gradio as gr

from dimts.web.style import ETHIOPIC, LATIN


def theme() -> gr.themes.Base:
    """Return the theme: calm greens on white, or on dark where the user's system asks for it."""
    fonts = [*map(gr.themes.Font, (*LATIN, *ETHIOPIC, "sans-serif"))]
    green = gr.themes.Color(
        "#effaf5", "#d8f2e6", "#b3e4cf", "#81cfb0", "#4bb38d", "#14795c", "#126b52", "#105846", "#0f4739",
        "#0d3b30", "#06211b", name="dimts",
    )  # fmt: skip
    base = gr.themes.Soft(
        primary_hue=green, secondary_hue=green, neutral_hue="stone", font=fonts, font_mono=fonts
    )
    return base.set(
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        block_shadow="none",
        block_border_width="1px",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_shadow="none",
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_secondary_shadow="none",
        button_primary_shadow="none",
        button_border_width="1px",
        button_large_text_size="*text_md",
        button_large_padding="10px 16px",
        button_large_text_weight="600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        link_text_color_dark="#81cfb0",
    )
