"""`mnedge docs` lists the manual's pages and shows one, for people and for programs."""


def test_the_pages_are_listed_in_reading_order(mnedge):
    topics = [line.split()[0] for line in mnedge("docs").out.splitlines() if line]
    assert topics[:2] == ["quickstart", "blueprints"]
    told = [page["topic"] for page in mnedge("docs", "--json").value]
    assert told == topics[: len(told)]


def test_a_page_is_shown_as_it_was_written(mnedge):
    text = mnedge("docs", "recov").out
    assert text.startswith("# Recovery")
    page = mnedge("docs", "recovery", "--json").value
    assert page["text"].rstrip() == text.rstrip()
    assert (page["topic"], page["title"]) == ("recovery", "Recovery")


def test_a_page_that_is_not_there_is_answered_with_near_ones(mnedge):
    assert "recovery" in mnedge("docs", "recoverry", code=2).err
