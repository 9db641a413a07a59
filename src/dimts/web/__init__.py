"""Web page for training and using voices in a browser. Imports gradio only where a page is built."""
