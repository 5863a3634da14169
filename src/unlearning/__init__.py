"""Erase whole classes from an image classifier and measure how deep the erasure goes."""

import os
import sys

from unlearning.errors import say_if_interrupted

if "DVC_STAGE" in os.environ:  # a stage may be interrupted while it loads torch, before `run_stage` is reached
    from unlearning.stopping import heed_early

    sys.excepthook = say_if_interrupted
    heed_early()
