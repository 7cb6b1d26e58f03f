"""A short run of `tests.fuzz`; the long one is a command."""

from tests import fuzz


def test_changed_files_are_read_or_refused_in_a_sentence() -> None:
    found, bad = fuzz.run(1200, seed=5)
    assert bad == []
    assert {name.split()[0] for name in found} == set(fuzz.targets())
    assert all(found[f"{name} refused"] > 0 for name in fuzz.targets()), "each kind was also damaged"
