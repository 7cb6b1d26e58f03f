"""What is installed, and what the project says about it."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def required(file: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def locked() -> dict[str, str]:
    """Versions by name; each has to carry a hash."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert all(len(line) > 1 and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for h in line[1:]) for line in lines)
    return {canonicalize_name(name): version for name, version in (line[0].split("==") for line in lines)}


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-test.txt"])
def test_the_lock_holds_every_requirement_inside_its_range(file: str) -> None:
    versions = locked()
    for r in required(file):
        if r.name != "torch":
            assert r.specifier.contains(Version(versions[canonicalize_name(r.name)])), r


def test_the_notice_names_every_package_that_is_needed() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert [r.name for r in required("requirements.txt") if f"\n  {canonicalize_name(r.name)} " not in notice] == []


@pytest.mark.parametrize("file", ["SECURITY.md", "CHANGELOG.md", "docs/reliability.md", "docs/performance.md"])
def test_what_is_named_is_there(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|weights|wrapper|docs)/[\w./-]+)(?:::(\w+))?`", text)
    named += [(path, "") for path in re.findall(r"\((docs/[\w.]+)\)", text)]
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_the_version_is_told_once_everywhere() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None and f"## {version[1]}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
