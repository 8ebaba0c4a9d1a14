"""The race against a plain transcription of the paper, and what a table will cost."""
