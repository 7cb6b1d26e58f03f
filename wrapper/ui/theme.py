"""How the page looks: theme, styles, hints, and what is mended of Gradio's own elements in the browser."""

import json
from typing import Any

import gradio as gr

from wrapper.candidates import BY_HAND
from wrapper.draw import COLORS, PICK, SEVERAL
from wrapper.ui.common import MAX_UPLOAD

LINK = "Copy a link to this answer"
LEGEND = " ".join(
    f'<span style="white-space:nowrap;margin-right:1em"><span aria-hidden="true" style="display:inline-block;width:.8em;height:.8em;'
    f'border:.15em solid {color}"></span> {name}</span>'
    for name, color in {
        "Florence-2": COLORS["florence2"],
        "GDrec": COLORS["gdrec"],
        "GD": COLORS["gd"],
        "YOLOX": COLORS["yolox"],
        "several models": COLORS[SEVERAL],
        "yours": COLORS[BY_HAND],
        "the pick": PICK,
    }.items()
)
"""Which colour is whose, as HTML."""
CSS = """
@media (max-width: 640px) {
  #locate > .column { display: contents; }
  #locate > .column > * { flex: 1 1 100%; }
  #examples { order: 1; }
  .gallery-container .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
}
.block:not(#slider) > [data-testid="block-label"] + .image-container, #shown .image-container {
  padding-top: 2.4rem; box-sizing: border-box;
}
.gallery-container .grid-wrap { padding-top: 2.4rem; max-height: none; overflow: visible; }
button[role="tab"][aria-selected="true"] { color: var(--primary-700) !important; }
.dark button[role="tab"][aria-selected="true"] { color: var(--primary-300) !important; }
:is(input, textarea, [role="option"]):focus-visible { outline: 2px solid var(--primary-500); outline-offset: 1px; }
"""
BUTTON_HINTS = {
    "Locate": "Propose boxes and pick the one that the expression means.",
    "Cancel": "Stop the run; nothing you entered is lost.",
    "New scene": "Draw a picture that no model has seen, with an expression and its true box, and locate it.",
    "Ask again": "Let the LLM choose again from the list as it stands.",
    "Delete the candidate pointed out": "Take it off the list and let the LLM choose again.",
    "Shuffle check": "Ask about the same list in several orders and count how many agree.",
    LINK: "For an hour the link opens this picture and answer for whoever has it.",
    "Add": "Put a box of your own on the list and let the LLM choose again.",
    "Compare": "Answer with every method, each model run once.",
    "Run": "Measure the chosen methods on as many expressions as set above.",
    "Cancel, keep what is done": "Stop; figures of what was answered so far stay.",
}
# Gradio gives pictures no alternative text, buttons no hint, and names to elements that may have none: the first are described by
# the answer that stands beside them, or else by their component's label.
FINISHING = """() => {
  const hints = HINTS;
  const mend = () => {
    for (const button of document.querySelectorAll('button:not([title]):not([role=tab])')) {
      const hint = hints[button.textContent.trim()];
      if (hint) button.title = hint;
    }
    for (const image of document.querySelectorAll('img:not([alt]), img[alt=""]')) {
      const label = image.closest('.block')?.querySelector('label, [data-testid="block-label"]')?.textContent?.trim();
      image.alt = label || 'Picture';
    }
    const describe = (pictures, words) => {
      for (const image of document.querySelectorAll(pictures)) if (words && image.alt !== words) image.alt = words;
    };
    const said = document.querySelector('#answer h3')?.textContent;
    describe('#shown img', said && 'The picture with numbered boxes, which the table lists. ' + said);
    const sides = [...document.querySelectorAll('#sides-of-slider input')].map((input) => input.value);
    describe('#slider img', sides.length && 'The picks of ' + sides.join(' and ') + ', which the table lists');
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
    "show_error": True, "run_history": False, "footer_links": ["api", "settings"],
}  # fmt: skip
"""How the page is served, here and in tests."""
