"""Detectors by one spelling, NAME=SPEC: who proposes boxes beside (or in place of) Florence-2 and Grounding DINO.

    onnx:FOLDER/detector.json             an ONNX file and how it is read (wrapper.proposers.onnx)
    transformers:SOURCE                   an object detector of transformers, a Hub id or a folder
    python:package.module:function        a function that gives supervision.Detections
    file:boxes.jsonl                      boxes that were made elsewhere
    api:GroundingDino-1.6-Pro             Grounding DINO 1.5, 1.6 or DINO-X behind its API

Each works wherever a proposer's name is taken: `--detector dogs=onnx:dogs/detector.json --proposers dogs`.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wrapper.candidates import BY_HAND
from wrapper.errors import ModelError
from wrapper.settings_file import read_json

if TYPE_CHECKING:
    import torch

    from wrapper.proposers.base import Proposer

HELP = (
    "A detector of your own: NAME=onnx:FOLDER/detector.json, NAME=transformers:SOURCE, NAME=python:package.module:function, "
    "NAME=file:boxes.jsonl or NAME=api:MODEL (docs/detectors.md). May be given several times; NAME is then a proposer like the others."
)
PUBLISHED = ("florence2", "gdrec", "gd")
"""Names of the paper's proposers."""


def parse_detectors(given: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """NAME=SPEC texts -> spec by name; ModelError where one is written otherwise or takes a name that is taken."""
    found: dict[str, str] = {}
    for text in given:
        name, _, spec = text.partition("=")
        if not name.isidentifier() or name in (*PUBLISHED, BY_HAND, "ensemble", *taken) or name in found:
            raise ModelError(
                f"{text!r} names no detector. Write NAME=SPEC with a name that is not taken, such as mine=onnx:mine/detector.json."
            )
        scheme, _, place = spec.partition(":")
        if scheme not in LOADERS or not place:
            raise ModelError(
                f"{text!r} does not say what kind of detector it is. Write NAME= and one of {', '.join(f'{s}:...' for s in LOADERS)}."
            )
        found[name] = spec
    return found


def files_of(spec: str) -> list[Path]:
    """The files that a spec names and that are there: an ONNX detector's settings and its model with weights that lie beside it, a
    function's module and the files beside it that its list DEPENDS_ON names, files of boxes."""
    scheme, _, place = spec.partition(":")
    if scheme == "python":
        name = place.partition(":")[0]
        if not (found := _module(name)) or not found.origin:
            return []
        own = Path(found.origin)
        named = getattr(sys.modules.get(name), "DEPENDS_ON", ())  # it is loaded where its boxes are asked for
        return [own, *(file for other in named if (file := own.parent / str(other)).is_file())]
    files = [Path(part) for part in place.split(",")] if scheme == "file" else [Path(place)]
    if scheme == "onnx" and files[0].is_file():
        try:
            model = str(read_json(files[0])["model"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{files[0]} does not say which ONNX file it is about ({error}).") from error
        files += sorted(f for f in files[0].parent.iterdir() if f.name.startswith(model))
    return [file for file in files if file.is_file()]


def _module(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        return None


def load_detector(name: str, spec: str, device: "torch.device", same_box: float = 1.0) -> "Proposer":
    """The proposer of a spec. ModelError or DataError where it cannot be loaded."""
    scheme, _, place = spec.partition(":")
    return LOADERS[scheme](name, place, device, same_box)


def _onnx(name: str, place: str, device: "torch.device", same_box: float) -> "Proposer":
    from wrapper.proposers.detections import DetectorProposer
    from wrapper.proposers.onnx import OnnxDetector

    return DetectorProposer(name, OnnxDetector.load(place), same_box)


def _transformers(name: str, place: str, device: "torch.device", same_box: float) -> "Proposer":
    from transformers import AutoConfig

    from wrapper.proposers import grounding_dino
    from wrapper.proposers.detections import DetectorProposer
    from wrapper.proposers.loading import load_pretrained
    from wrapper.proposers.transformers_detector import load

    if load_pretrained("The detector", place, AutoConfig.from_pretrained).model_type in grounding_dino.KINDS:
        return grounding_dino.GroundingDinoRec(grounding_dino.Detector.load(place, device), same_box=same_box, name=name)
    return DetectorProposer(name, load(place, device), same_box)


def _python(name: str, place: str, device: "torch.device", same_box: float) -> "Proposer":
    from wrapper.proposers.callable import Function
    from wrapper.proposers.detections import DetectorProposer

    return DetectorProposer(name, Function.load(place), same_box)


def _file(name: str, place: str, device: "torch.device", same_box: float) -> "Proposer":
    from wrapper.proposers.detections import DetectorProposer
    from wrapper.proposers.file import BoxesFile

    return DetectorProposer(name, BoxesFile.load(place), same_box)


def _api(name: str, place: str, device: "torch.device", same_box: float) -> "Proposer":
    from wrapper.proposers.api import ApiDetector
    from wrapper.proposers.detections import DetectorProposer

    return DetectorProposer(name, ApiDetector.load(place), same_box)


LOADERS: Mapping[str, Callable[[str, str, "torch.device", float], "Proposer"]] = {
    "onnx": _onnx, "transformers": _transformers, "python": _python, "file": _file, "api": _api,
}  # fmt: skip
