"""Pictures that come inside a request are opened by wrapper.images only, which looks at their size first."""

import asyncio
import base64
import io
import time
import tracemalloc
from typing import Any

import gradio as gr
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from wrapper.errors import ImageError
from wrapper.ui import common
from wrapper.ui.picture import MAY_FETCH, FileUpload, PictureUpload, save_data_url


def data_url(picture: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_a_picture_inside_a_request_is_the_file_it_was() -> None:
    picture = Image.effect_noise((30, 20), 50).convert("RGB")
    path = PictureUpload(type="filepath").preprocess(ImageData(url=data_url(picture)))
    assert common.open_upload(path).tobytes() == picture.tobytes()


def test_a_small_file_of_a_huge_picture_is_refused_at_once() -> None:
    """A megabyte at most, and well under a second, for 144 megapixels."""
    url = data_url(Image.new("1", (12_000, 12_000)))
    assert len(url) < 60_000
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(ImageError, match="megapixels"):
        common.open_upload(PictureUpload(type="filepath").preprocess(ImageData(url=url)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - began < 1 and most < 1_000_000


@pytest.mark.parametrize(
    "url", [None, "", "data:image/png;base64,%%%", "data:text/html,<b>", "file:///etc/passwd", "http://127.0.0.1/a.png"]
)
def test_what_is_no_picture_is_one_sentence(url: str | None) -> None:
    with pytest.raises(gr.Error, match="picture"):
        PictureUpload(type="filepath").preprocess(ImageData(url=url))


def test_a_request_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match="larger than 60 MB"):
        save_data_url("data:image/png;base64," + "A" * 80_000_004)


def test_no_picture_is_none() -> None:
    assert PictureUpload(type="filepath").preprocess(None) is None


@pytest.mark.parametrize("component", [PictureUpload(type="filepath"), FileUpload()], ids=["picture", "file"])
@pytest.mark.parametrize("address", ["https://example.org/a.png", "HTTP://example.org/a.zip", "http://169.254.169.254/token"])
def test_nothing_is_fetched_from_an_address(component: Any, address: str) -> None:
    with pytest.raises(gr.Error, match="fetches nothing"):
        asyncio.run(component.async_move_resource_to_block_cache(address))


@pytest.mark.parametrize("component", [PictureUpload(type="filepath"), FileUpload()], ids=["picture", "file"])
def test_even_where_it_is_allowed_nothing_of_the_machines_own_network_is(component: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAY_FETCH, "1")
    with pytest.raises(Exception, match="validation"):
        asyncio.run(component.async_move_resource_to_block_cache("http://127.0.0.1:1/a.png"))
