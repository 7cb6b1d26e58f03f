"""Keeps libraries' chatter out of what people read: notes on missing extras that nothing here needs, and loading bars."""

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Call once, before models are loaded. Their errors still show."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a missing CPU kernel, for which it has a substitute
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # of reading weights, over in a second; downloads keep theirs
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)  # PEFT reads it
