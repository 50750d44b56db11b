from mnedge.gateway.console.prose import anchor, html_of


def test_markdown_becomes_html_with_places_to_go_to():
    html = html_of("# Running jobs\n\nSee [people](people.md).\n\n## Slots\n\n## Slots")
    assert '<h1 id="running-jobs">' in html
    assert '<h2 id="slots">' in html
    assert '<h2 id="slots-2">' in html


def test_nothing_in_the_text_becomes_markup_or_is_fetched():
    html = html_of(
        "<script>alert(1)</script> ![x](http://elsewhere/x.png)\n\n"
        "[a](javascript:alert(1))\n\n```\n<b>\n```"
    )
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert "&lt;b&gt;" in html


def test_tables_scroll_and_have_no_inline_styles():
    html = html_of("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert '<div class="scroll"' in html
    assert "style=" not in html
    assert '<td class="right">' in html
    assert '<th scope="col">' in html


def test_a_heading_without_words_has_a_place_too():
    assert anchor("!!!") == "section"
