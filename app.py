"""The web page. python app.py [--host 127.0.0.1] [--port 7860] [--preset auto] [--mcp]

On a Hugging Face Space this file is run as it stands; WRAPPER_PRESET chooses the models there.
"""

import os

from wrapper.uploads import Uploads

UPLOADS = Uploads()
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
os.environ.setdefault("GRADIO_TEMP_DIR", str(UPLOADS.path))  # of its own: a page that ends deletes what another one on this machine shows
os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")  # threads that read weights escape ZeroGPU's stand-in for CUDA

import argparse
import asyncio
import importlib.util
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import gradio as gr
import spaces  # noqa: F401  before anything that touches CUDA, as ZeroGPU wants it

from wrapper.quiet import quiet_libraries

quiet_libraries()

from wrapper.adapters import parse_adapters
from wrapper.detectors import HELP, parse_detectors
from wrapper.errors import WrapperError
from wrapper.presets import PRESETS, best_preset
from wrapper.selectors.endpoint import EndpointSettings
from wrapper.ui import api, benchmark, common, compare, folder, locate, models
from wrapper.ui.markdown import plain
from wrapper.ui.page import MOST_SESSIONS, Page
from wrapper.ui.theme import LOOKS

TITLE = "LLM-wrapper"
# As HTML, like the picture below it: Markdown's part of the page may come later, and would push the picture down
INTRODUCTION = f"""<h1>{TITLE}</h1>
<p>Vision models propose boxes; a language model reads the list and picks the one your words mean.</p>"""

LOGIN = """Log in, and **{model}** chooses in place of this machine's LLM, asked on your own account. Your token is used for your own
questions, kept in your browser's cookie and nowhere else."""


async def watch() -> AsyncIterator[tuple[str, str]]:
    """What there is to say about the models, each second until they are loaded."""
    loading = models.asked()
    while not loading.done.done():
        yield models.notice(loading), models.status(loading)
        await asyncio.sleep(1)
    yield models.notice(loading), models.status(loading)


def offer(*chosen: str | list[str]) -> list[Any]:
    """The adapters of the models that are loaded, in every list of them."""
    return [common.adapter_choice(name) for name in chosen]


def build(
    preset: str,
    adapters: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = print,
    detectors: Mapping[str, str] | None = None,
    llama: str | None = None,
    login: bool = False,
) -> Page:
    """The page, for the models of a preset, and more LLM adapters (folders or Hub ids by name) and detectors (specs by name) besides its
    own, or another LLM; login: that one for those who log in, with their own token. Full-size models may still be loading when this
    returns; tell: is told each part before it is loaded."""
    loading = models.start(best_preset() if preset == "auto" else preset, adapters, tell, detectors, llama, login)
    page = Page(title=TITLE, delete_cache=(3600, 3600), analytics_enabled=False)
    with page:
        gr.HTML(INTRODUCTION, elem_id="title", padding=False)
        if loading.hosted:
            with gr.Row(elem_id="login"):
                gr.LoginButton(size="sm", scale=0, min_width=240)
                gr.Markdown(LOGIN.format(model=plain(EndpointSettings.load(loading.hosted).model)))
        notice = gr.Markdown(models.notice(loading), elem_id="notice")
        with gr.Tabs() as tabs:
            with gr.Tab("Locate", id="locate"):
                first = locate.build(page)
                api.build()
            with gr.Tab("Compare", id="compare") as second:
                lists = [first.adapter, compare.build(second, first)]
            with gr.Tab("Folder", id="folder"):
                folder.build()
            with gr.Tab("Benchmark", id="benchmark"):
                lists.append(benchmark.build(first, tabs))
        status = gr.Markdown(elem_id="status")  # filled once the page is there, below which it must not stand first
        # Once a link's or the last visit's settings are there: what `offer` finds chosen, it keeps
        watched = first.opened.then(watch, None, [notice, status], concurrency_limit=None, show_progress="hidden", api_visibility="private")
        watched.then(offer, lists, lists, show_progress="hidden", api_visibility="private")
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=1)
    return page


MOST_WAITING = 200
"""Requests that wait for their turn; whoever comes then is told that the page is busy."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Open the page of LLM-wrapper.")
    on_space = "SPACE_ID" in os.environ
    parser.add_argument("--host", default="0.0.0.0" if on_space else "127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on")
    parser.add_argument(
        "--preset", default=os.environ.get("WRAPPER_PRESET", "auto"), choices=["auto", *PRESETS],
        help="set of models; auto: full size where a CUDA GPU and the checkpoints are at hand, else the bundled ones",
    )  # fmt: skip
    parser.add_argument(
        "--adapter", action="append", metavar="NAME=SOURCE", default=os.environ.get("WRAPPER_ADAPTERS", "").split(),
        help="an LLM adapter, a folder or Hub id, besides the preset's own; may be given several times. It is used by itself for "
        "the candidates of one model if NAME is gdrec or florence2, for those of both if it is ensemble; any other NAME is offered "
        "on the page. On a Space: WRAPPER_ADAPTERS, with spaces between them",
    )  # fmt: skip
    parser.add_argument(
        "--detector", action="append", metavar="NAME=SPEC", default=os.environ.get("WRAPPER_DETECTORS", "").split(),
        help=f"{HELP} On a Space: WRAPPER_DETECTORS, with spaces between them",
    )  # fmt: skip
    parser.add_argument(
        "--llama", metavar="SPEC", default=os.environ.get("WRAPPER_LLAMA") or None,
        help="another LLM than the preset's: a folder, a Hub id, or openai:URL#MODEL, a service that speaks OpenAI's chat protocol, its "
        "token in LLM_API_TOKEN. On a Space: WRAPPER_LLAMA, and the token as a secret",
    )  # fmt: skip
    parser.add_argument(
        "--login", action="store_true", default=os.environ.get("WRAPPER_LOGIN") == "1",
        help="ask the service that --llama names only for visitors who log in with Hugging Face, each with their own token; for others the "
        "preset's LLM chooses. Needs pip install 'gradio[oauth]'. On a Space: WRAPPER_LOGIN=1, and hf_oauth: true in its README",
    )  # fmt: skip
    parser.add_argument("--mcp", action="store_true", help="serve the endpoints as MCP tools too; needs pip install 'gradio[mcp]'")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.mcp and importlib.util.find_spec("mcp") is None:
        raise SystemExit("error: The MCP server needs a package that is missing. Install it with: pip install 'gradio[mcp]'")
    if options.login and importlib.util.find_spec("authlib") is None:
        raise SystemExit("error: Logging in needs a package that is missing. Install it with: pip install 'gradio[oauth]'")
    try:
        detectors = parse_detectors(options.detector, PRESETS["photo"].detectors)
        page = build(options.preset, parse_adapters(options.adapter), detectors=detectors, llama=options.llama, login=options.login)
    except WrapperError as error:
        raise SystemExit(f"error: {error}") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: a service that is stopped deletes what visitors sent
    try:
        page.launch(
            server_name=options.host, server_port=options.port, mcp_server=options.mcp, state_session_capacity=MOST_SESSIONS, **LOOKS
        )
    except OSError as error:
        raise SystemExit(f"error: Port {options.port} of {options.host} cannot be used ({error}). Choose another with --port.") from error


if __name__ == "__main__":
    main()
