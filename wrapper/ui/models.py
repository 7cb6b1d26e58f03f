"""The models behind the page: loaded once, with a plain account of what is loaded and of what did not work.

The page is served at once. Full-size models are loaded beside it, and whoever needs them before they are there waits; the
bundled ones take less than a second and are loaded first, as are all on ZeroGPU, which wants that done while `app.py` is read.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import torch

from wrapper.errors import DataError, ModelError
from wrapper.pipeline import Wrapper
from wrapper.presets import Preset, find_preset
from wrapper.selectors.endpoint import SCHEME, Endpoint
from wrapper.selectors.hosted import Hosted
from wrapper.ui.markdown import plain, with_links
from wrapper.worlds import World

_PHOTOGRAPHS = (
    "YOLOX-Nano finds 80 kinds of thing (people, animals, vehicles, furniture, dishes, food ...), and the LLM reads its list. It is told "
    "the colours that your words name; clothes and actions it does not see."
)
ABOUT = {
    "tiny": "**These are the small bundled models.** They were trained from scratch on RefScenes, a synthetic world of emoji objects, and "
    "know nothing else: on a photograph their answers mean nothing.",
    "photo": f"**These are the small bundled models for photographs.** {_PHOTOGRAPHS}",
    "bundled": f"**These are the small bundled models.** In photographs {_PHOTOGRAPHS} Florence-2 and Grounding DINO were trained on "
    "RefScenes, drawings of emoji objects, and are asked about those.",
}
"""What the bundled models can do, by preset."""
ASK_FOR_MORE = "Start the app with `--preset paper` (or `cpu`) for the published checkpoints."


_serials = itertools.count()
THREADS = torch.get_num_threads()
TINY_STEP, STEP = 2, 8
"""Seconds a GPU is asked for each model's look at a picture or for one batch of the LLM, of the bundled models (which take a tenth on
a CPU) and of full-size ones (a guess: none has been run on one)."""


@dataclass(frozen=True)
class Loaded:
    """wrapper: the models; photographs: those that are asked about photographs, where the others know RefScenes only. trouble: why the
    preset that was asked for is not the one that is loaded; None where it is.

    serial: a number that no other load of this process has, for remembered answers; an `id` is given again once its object is gone.
    """

    wrapper: Wrapper
    name: str
    preset: Preset
    seconds: float
    trouble: str | None = None
    serial: int = field(default_factory=_serials.__next__)
    photographs: Wrapper | None = None
    preset_for_photographs: Preset | None = None

    @property
    def adapters(self) -> Mapping[str, str]:
        """Where the adapters of all that is loaded came from, by name."""
        return {**self.preset.adapters, **(self.preset_for_photographs.adapters if self.preset_for_photographs else {})}

    @property
    def proposers(self) -> tuple[str, ...]:
        """Who can propose, of all that is loaded."""
        return (*self.wrapper.proposers, *(self.photographs.proposers if self.photographs else ()))

    def asked_by(self, proposers: Sequence[str]) -> Wrapper:
        """The models that these proposers belong to. DataError where they are of two worlds: no LLM here reads both."""
        other = set(proposers) & set(self.photographs.proposers if self.photographs else ())
        if self.photographs is None or not other:
            return self.wrapper
        if other < set(proposers):
            raise DataError(
                "These models know different worlds, and no LLM here reads both. Choose YOLOX, or Florence-2 and Grounding DINO."
            )
        return self.photographs


@dataclass
class Loading:
    """What was asked for. hosted: the spec of an LLM's service, which visitors ask with their own token. part: what is being loaded;
    number: which part that is; tell: is told as well; done: the outcome."""

    name: str
    preset: Preset
    tell: Callable[[str], None]
    preset_for_photographs: Preset | None = None
    hosted: str | None = None
    began: float = field(default_factory=time.monotonic)
    part: str = ""
    number: int = 0
    done: Future[Loaded] = field(default_factory=Future)

    @property
    def parts(self) -> int:
        """How many there are: vision-language models and detectors, the LLM, its adapters."""
        both = [self.preset, *([self.preset_for_photographs] if self.preset_for_photographs else [])]
        return sum((p.florence2 is not None) + (p.grounding_dino is not None) + len(p.detectors) + 1 + len(p.adapters) for p in both)

    def run(self) -> None:
        """Load it; in its place the bundled models where it cannot be loaded. Whatever else goes wrong is told to who waits."""
        try:
            self.done.set_result(self._loaded())
        except ModelError as error:
            self.tell(str(error))
            self.done.set_exception(error)
        except BaseException as error:
            self.done.set_exception(error)
            raise

    def _loaded(self) -> Loaded:
        bundled, trouble = find_preset("bundled"), None
        try:
            wrapper, other = self._both()
        except (ModelError, RuntimeError, ImportError, OSError) as error:  # CUDA, a missing extra, a full disk: whatever loading meets
            if self.name in ABOUT and (self.preset, self.preset_for_photographs) == plain_presets(self.name):
                raise
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            trouble = f"The preset {self.name} could not be loaded: {reason}"
            self.tell(trouble)
            self.name, self.preset, self.number = "bundled", bundled, 0
            _, self.preset_for_photographs = plain_presets("bundled")
            wrapper, other = self._both()
        spent = time.monotonic() - self.began
        return Loaded(
            wrapper, self.name, self.preset, spent, trouble, photographs=other, preset_for_photographs=self.preset_for_photographs
        )

    def _both(self) -> tuple[Wrapper, Wrapper | None]:
        main, other = self.preset, self.preset_for_photographs
        service = Endpoint.load(self.hosted, of_visitors=True) if self.hosted else None
        loaded = [Wrapper.from_preset(p, p.proposers, self._next) for p in (main, other) if p is not None]
        if service is not None:
            loaded = [replace(w, llm=Hosted(w.llm, service)) for w in loaded]
        return loaded[0], loaded[1] if len(loaded) > 1 else None

    def _next(self, part: str) -> None:
        self.number += 1
        self.part = part
        self.tell(part)


def plain_presets(name: str) -> tuple[Preset, Preset | None]:
    """A preset, and the one for photographs that belongs to it."""
    preset = find_preset(name)
    return preset, find_preset(preset.photographs) if preset.photographs else None


_asked: dict[str, Loading] = {}


def start(
    name: str,
    adapters: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = print,
    detectors: Mapping[str, str] | None = None,
    llama: str | None = None,
    login: bool = False,
) -> Loading:
    """Begin to load a preset for the handlers; small ones are loaded when this returns. Where it cannot be loaded, the
    bundled models serve instead; ModelError where those are what was asked for.

    adapters, detectors: LLM adapters (folders or Hub ids) and detectors (specs) by name, besides the preset's own. llama: another LLM in
    place of the preset's, and of that for photographs; login: only for those who log in, with their own token (`wrapper.selectors.hosted`);
    DataError where it is no service. tell: is told each part before it is loaded.
    """
    preset, photographs = plain_presets(name)
    if login and not (llama or "").startswith(SCHEME):
        raise DataError("To log in for an LLM there must be one that is a service. Name it with --llama openai:URL#MODEL.")
    if llama and not login:
        preset = replace(preset, llama=llama, adapters={})
        photographs = replace(photographs, llama=llama, adapters={}) if photographs else None
    given, found = adapters or {}, detectors or {}
    if photographs:
        photographs = replace(photographs, detectors={**photographs.detectors, **found})
        own = {n: source for n, source in given.items() if n in photographs.detectors}  # what reads a detector's boxes is of its LLM
        photographs = replace(photographs, adapters={**photographs.adapters, **own})
        given = {n: source for n, source in given.items() if n not in own}
    else:
        preset = replace(preset, detectors={**preset.detectors, **found})
    preset = replace(preset, adapters={**preset.adapters, **given})
    if "OMP_NUM_THREADS" not in os.environ:
        # The bundled models are so small that threads wait for each other, and for the one that serves the page, longer than they compute
        torch.set_num_threads(1 if name in ABOUT and (login or not llama) else THREADS)
    loading = _asked["now"] = Loading(name, preset, tell, photographs, llama if login else None)
    if name in ABOUT or os.environ.get("SPACES_ZERO_GPU"):
        loading.run()
        loading.done.result()
    else:
        threading.Thread(target=loading.run, name="models", daemon=True).start()
    return loading


def load(
    name: str,
    adapters: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = print,
    detectors: Mapping[str, str] | None = None,
    llama: str | None = None,
    login: bool = False,
) -> Loaded:
    """As `start`, but wait until it is done."""
    return start(name, adapters, tell, detectors, llama, login).done.result()


def asked() -> Loading:
    """What is loaded or being loaded."""
    return _asked["now"]


def seconds_a_step() -> int:
    """How long a GPU is asked for, for one look of a vision-language model or one batch of the LLM."""
    return TINY_STEP if now().name in ABOUT else STEP


def now() -> Loaded:
    """What is loaded; waits until it is. ModelError where nothing could be loaded."""
    done = asked().done
    if error := done.exception():
        raise ModelError(str(error)) from error  # one of its own for each who asks, whose traceback goes with it
    return done.result()


def proposers() -> tuple[str, ...]:
    """Who can propose; while models are being loaded, who will."""
    loading = asked()
    if loading.done.done() and not loading.done.exception():
        return loading.done.result().proposers
    return (*loading.preset.proposers, *(loading.preset_for_photographs.proposers if loading.preset_for_photographs else ()))


def fitting(world: World) -> tuple[str, ...]:
    """The proposers that know a world, of the models that are loaded or will be."""
    loading = asked()
    if loading.preset_for_photographs and world is World.PHOTOGRAPH:
        return loading.preset_for_photographs.usual
    return loading.preset.usual


def knows(world: World) -> bool:
    """Whether the models that are loaded, or will be, know a world; full-size ones know photographs and drawings."""
    return {"tiny": world is World.SCENE, "photo": world is World.PHOTOGRAPH}.get(asked().name, True)


def adapters() -> tuple[str, ...]:
    """The LLM adapters there are; while they are being loaded, those that there will be, be it of the bundled models."""
    loading = asked()
    if loading.done.done() and not loading.done.exception():
        return tuple(loading.done.result().wrapper.llm.adapters)
    return tuple(dict.fromkeys([*loading.preset.adapters, *find_preset("bundled").adapters]))


def notice(loading: Loading) -> str:
    """What a visitor should know before anything else, as Markdown; nothing where the models asked for are there."""
    if not loading.done.done():
        seconds = f"{time.monotonic() - loading.began:.0f} s"
        return (
            f"**⏳ The models are being loaded**, part {loading.number} of {loading.parts}, for {seconds} so far: "
            f"{plain(loading.part)}\nChoose a picture and write meanwhile; a question waits until they are there."
        )
    if error := loading.done.exception():
        return f"**⚠️ No models could be loaded.** {with_links(str(error))}"
    loaded = loading.done.result()
    if loaded.trouble:
        return f"**⚠️ The bundled models serve instead.** {with_links(loaded.trouble)}"
    return ""


def status(loading: Loading) -> str:
    """What is loaded, in words, as Markdown."""
    if not loading.done.done():
        return f"Preset **{loading.name}** is being loaded."
    if loading.done.exception():
        return "No models are loaded."
    loaded = loading.done.result()
    cuda = torch.cuda.is_available()
    device = f"GPU ({torch.cuda.get_device_name(0)})" if cuda else "CPU"
    precision = "the LLM in 4 bits (NF4), " if loaded.preset.four_bit else ""
    precision += "16-bit floats" if loaded.preset.half and cuda else "32-bit floats"
    sources = (loaded.preset.florence2, loaded.preset.grounding_dino, *loaded.preset.detectors, loaded.preset.llama)
    photographs = loading.preset_for_photographs
    names = ", ".join(source.rstrip("/").split("/")[-1] for source in (*sources, *(photographs.detectors if photographs else ())) if source)
    adapters = ", ".join(loaded.wrapper.llm.adapters) or "none"
    about = f"{ABOUT[loaded.name]} {ASK_FOR_MORE}\n\n" if loaded.name in ABOUT else ""
    return (
        f"{about}Preset **{loaded.name}**: {names}; on the {device}, {precision}; loaded in {loaded.seconds:.1f} s. "
        f"LLM adapters: {adapters}. "
        "Another preset: start the app with `--preset`, or set `WRAPPER_PRESET` on a Space."
    )
