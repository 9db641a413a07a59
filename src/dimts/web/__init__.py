"""The page: from recordings to a voice in a browser. Imports gradio only where a page is built."""
