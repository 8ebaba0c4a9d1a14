"""Items one by one, with the time left; silent for the first seconds and in a log file."""

from functools import partial

from tqdm import tqdm

progress_bar = partial(tqdm, unit=" blocks", delay=3, disable=None, leave=False)
