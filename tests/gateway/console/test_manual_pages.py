import pytest

from mnedge.gateway.console.manual_pages import found_in, manual_of
from mnedge.gateway.manual import Page
from tests.gateway.console.consoles import a_browser, words


@pytest.mark.drives("GET /manual")
@pytest.mark.drives("GET /manual/{topic}")
async def test_the_manual_is_read_and_searched(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        text = await browser.get("/manual")
        for page in manual_of():
            assert f'href="/manual/{page.topic}"' in text
            await browser.get(f"/manual/{page.topic}")
        assert "<mark>lease" in (await browser.get("/manual?q=lease")).lower()
        assert "does not say it" in words(await browser.get("/manual?q=zzqq"))
        assert "<b>" not in (await browser.get("/manual?q=%3Cb%3E%26"))
        await browser.get("/manual/nothing", 404)


def test_headings_come_first_and_lead_to_their_place():
    text = "# Pools\n\nslots\n\n## Slots and more\n\n```\n# slots, no heading\n```\n\nof slots"
    hits = found_in((Page("pools", "Pools", "", text),), "SLOTS")
    assert [(hit.title, hit.anchor) for hit in hits] == [
        ("Pools: Slots and more", "slots-and-more"),
        ("Pools", ""),
    ]
    assert hits[1].word == "slots"


def test_all_words_have_to_be_there_and_signs_are_plain():
    page = Page("a", "A", "", "# A\n\none (two)")
    assert found_in((page,), "two) one")
    assert not found_in((page,), "one three")
