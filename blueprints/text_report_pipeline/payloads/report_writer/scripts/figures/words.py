"""Word counts: reading the counter's table, counting again, and figures about them."""

import re

WORD = re.compile(rb"[a-z0-9]+")


def read_table(table):
    """Return {source: {word: count}} from lines of source, word, count."""
    counts = {"input": {}, "reference": {}}
    for line in table.splitlines():
        source, word, count = line.split("\t")
        counts[source][word] = int(count)
    return counts


def count_again(text):
    """Return {word: count}, counted here, by the rule of the shell script: bytes, ASCII only."""
    counts = {}
    for word in WORD.findall(text.encode("utf-8").lower()):
        counts[word.decode()] = counts.get(word.decode(), 0) + 1
    return counts


def figures(counts):
    words = sum(counts.values())
    letters = sum(len(word) * count for word, count in counts.items())
    longest = min(counts, key=lambda word: (-len(word), word), default="")
    return {
        "words": words,
        "distinct": len(counts),
        "average_length": round(letters / words, 2) if words else 0.0,
        "longest": longest,
    }


def most_frequent(counts, how_many):
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"word": word, "count": count} for word, count in ranked[:how_many]]
