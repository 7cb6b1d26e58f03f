"""Shared fixtures: the bundled models, loaded once."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # two processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from wrapper.pipeline import Wrapper
from wrapper.proposers.grounding_dino import GroundingDinoRec
from wrapper.scenes.dataset import Scene, scenes


@pytest.fixture(scope="session")
def wrapper() -> Wrapper:
    return Wrapper.from_preset("tiny", ("florence2", "gdrec", "gd"))


@pytest.fixture(scope="session")
def gdrec(wrapper: Wrapper) -> GroundingDinoRec:
    found = wrapper.proposers["gdrec"]
    assert isinstance(found, GroundingDinoRec)
    return found


@pytest.fixture(scope="session")
def val_scenes() -> list[Scene]:
    return list(scenes("val", 24, 11))
