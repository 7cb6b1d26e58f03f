"""Florence-2's task prompts that list boxes."""

OPEN_VOCABULARY = "<OPEN_VOCABULARY_DETECTION>"
PHRASE_GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
DENSE_REGIONS = "<DENSE_REGION_CAPTION>"
OBJECTS = "<OD>"

TASKS_WITHOUT_TEXT = frozenset({OBJECTS, DENSE_REGIONS})
"""These read the picture alone; the others an expression as well."""
PAPER_TASKS = (OPEN_VOCABULARY, PHRASE_GROUNDING)
"""What the paper lists, in this order; it reports DENSE_REGIONS as a third source as slightly better."""
