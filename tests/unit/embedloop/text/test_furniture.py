import pytest

from embedloop.text.cleaned import Removals
from embedloop.text.furniture import without_furniture


@pytest.mark.parametrize(
    "line",
    [
        "We use cookies to make this better.",
        "Advertisement",
        "Share this page",
        "Was this article helpful? Yes No",
        "© 2024 Somebody. All rights reserved.",
        "Privacy Policy | Terms of Use | Sitemap",
        "Back to top",
        "* Related articles",
    ],
)
def test_line_of_every_page_is_dropped_and_counted(line: str) -> None:
    removals = Removals()
    assert without_furniture(f"Before.\n{line}\nAfter.", removals) == "Before.\nAfter."
    assert [removal.items for removal in removals.told()] == [1]


@pytest.mark.parametrize(
    "line",
    [
        "We use cookies as reward in the trial, which " + "was long, " * 30,
        "The share of this page in the whole is small.",
        "Copyright law protects the author for seventy years after death in most countries of Europe.",
        "Patients log in their diary when pain begins.",
        "Next, wash the wound.",
        "",
    ],
)
def test_line_of_content_stays(line: str) -> None:
    removals = Removals()
    assert without_furniture(line, removals) == line
    assert removals.told() == ()
