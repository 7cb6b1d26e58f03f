"""How the page looks: theme, styles, hints, and what is mended of Gradio's own elements in the browser."""

import json
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from wrapper.ui.common import MAX_UPLOAD
from wrapper.ui.limits import RequestLimit

CSS = """
@keyframes spin { to { transform: rotate(360deg); } }
#title h1 { font-size: 22px; margin: 0; display: inline; }
#title p { display: inline; margin-left: 10px; }
.tabitem > .column { gap: 10px; }
#canvas, #board { padding: 0; }
footer .divider { display: none; }
#login { flex-wrap: wrap; align-items: center; gap: 2px 14px; margin: -6px 0; }
#login > * { flex: 1 1 280px; font-size: 14px; }
#login > button { flex: 0 0 240px; }
.block > [data-testid="block-label"] ~ .upload-container { padding-top: 1.8rem; }
@media (max-height: 500px) { #title p { display: none; } main.contain { padding-top: 4px !important; } }
@media (max-width: 640px) {
  #title h1 { display: block; font-size: 20px; }
  #title p { margin: 0; font-size: 14px; line-height: 1.3; }
  main .contain > .column { gap: 8px; }
  .tab-wrapper .tab-container button { padding: 0 6px !important; font-size: 14px !important; }
}
@media (max-width: 640px) { .gallery-container .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; } }
.block > [data-testid="block-label"] + .image-container { padding-top: 2.4rem; box-sizing: border-box; }
.gallery-container .grid-wrap { padding-top: 2.4rem; max-height: none; overflow: visible; }
button[role="tab"][aria-selected="true"] { color: var(--primary-700) !important; }
.dark button[role="tab"][aria-selected="true"] { color: var(--primary-300) !important; }
:is(input, textarea, [role="option"]):focus-visible { outline: 2px solid var(--primary-500); outline-offset: 1px; }
"""
BUTTON_HINTS = {
    "Run": "Measure the chosen methods on as many expressions as set above.",
    "Cancel, keep what is done": "Stop; figures of what was answered so far stay.",
}
# Gradio gives pictures no alternative text, buttons no hint, and names to elements that may have none.
FINISHING = """() => {
  const hints = HINTS;
  const mend = () => {
    for (const button of document.querySelectorAll('button:not([title]):not([role=tab])')) {
      const hint = hints[button.textContent.trim()];
      if (hint) button.title = hint;
    }
    for (const image of document.querySelectorAll('img:not([alt]), .gallery-container img[alt=""]')) {
      const label = image.closest('.block')?.querySelector('label, [data-testid="block-label"]')?.textContent?.trim();
      image.alt = label || 'Picture';
    }
    for (const table of document.querySelectorAll('.virtual-table-viewport:not(:has([tabindex="0"]))')) {
      const head = table.querySelector('[role=columnheader]');  // an empty table scrolls too, and has no cell to do it from
      if (head) head.tabIndex = 0;
    }
    for (const empty of document.querySelectorAll('div[aria-label]:not([role])')) empty.setAttribute('role', 'group');
  };
  new MutationObserver(mend).observe(document.body, {childList: true, subtree: true});
  mend();
}""".replace("HINTS", json.dumps(BUTTON_HINTS))
# The reader's own fonts: the theme's, with round capitals, turns LLM into something else. And darker letters than the theme's, for
# people who see contrast badly (WCAG 2.1, 1.4.3).
THEME = gr.themes.Soft(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")).set(
    block_title_background_fill_dark="*primary_800", block_label_background_fill_dark="*primary_800",
    body_background_fill="*neutral_100", block_border_width="1px", checkbox_border_color="*neutral_400",
    block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300", block_title_text_color="*primary_800",
    block_title_text_color_dark="*primary_200", block_label_text_color="*primary_800", block_label_text_color_dark="*primary_200",
    body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300", button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700", button_primary_background_fill_dark="*primary_600",
    checkbox_label_background_fill_selected="*primary_600", checkbox_label_background_fill_selected_dark="*primary_700",
    link_text_color="*primary_700", link_text_color_dark="*primary_300", input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
)  # fmt: skip
LOOKS: dict[str, Any] = {
    "theme": THEME, "css": CSS, "js": FINISHING, "max_file_size": MAX_UPLOAD, "allowed_paths": [], "enable_monitoring": False,
    "show_error": True, "app_kwargs": {"middleware": [Middleware(RequestLimit), Middleware(GZipMiddleware, minimum_size=2000)]},
    "run_history": False, "footer_links": ["api"],
}  # fmt: skip
"""How the page is served, here and in tests."""
