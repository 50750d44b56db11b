"""What hostile requests look like in a path, a query and headers. Bodies are never looked at.

Each rule has a weight; from `BLOCKING` on a request is hostile. Source: platform 7.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

BLOCKING = 5
LONGEST_CHARS = 8192
"""Of one text; a head is bounded anyway."""


class Rule(NamedTuple):
    """One thing that honest requests do not say."""

    name: str
    pattern: re.Pattern[str]
    weight: int = BLOCKING


def _rule(name: str, pattern: str, weight: int = BLOCKING) -> Rule:
    return Rule(name, re.compile(pattern, re.IGNORECASE), weight)


_COMMANDS = (
    "cat|ls|id|whoami|wget|curl|nc|ncat|bash|sh|zsh|ping|uname|rm|cp|chmod|env|python\\d?|perl|php|"
    "powershell|cmd|sleep|nslookup|ifconfig|netstat"
)

EVERYWHERE = (
    _rule("log4j", r"\$\{[^}]{0,20}(?:jndi|lower|upper|env|sys|::-|date|ctx)\s*:"),
    _rule("xss", r"<\s*/?\s*(?:script|iframe|object|embed|svg|applet|meta|base)\b"),
    _rule("xss", r"<\s*(?:img|body|video|audio|input|details|a|div)\b[^>]{0,200}\bon\w{3,20}\s*="),
    _rule("split", r"[\r\n]"),
    _rule("sql", r"\bunion\b\s{1,20}(?:all\s{1,20}|distinct\s{1,20})?\bselect\b"),
    _rule(
        "template", r"\{\{.{0,200}?(?:\d\s*\*\s*\d|__\w+__|config|self|request|cycler).{0,200}?\}\}"
    ),
    _rule("shell", r"\(\)\s*\{\s*:?;?\s*\}\s*;"),
)
"""In every text, header values too."""
ASKED = (
    _rule("traversal", r"(?:^|[/\\=:;,\s])\.\.(?:[/\\]|$)"),
    _rule("traversal", r"%(?:25)?(?:2e|2f|5c|00)"),
    _rule("traversal", r"\.\.[;%]|\.{4,}[/\\]"),
    _rule("files", r"(?:/|\\)(?:etc(?:/|\\)(?:passwd|shadow|group|hosts)|proc(?:/|\\)self)\b"),
    _rule("files", r"\b(?:win|boot)\.ini\b|\bc:[\\/]windows\b|\.htaccess\b|/\.git/|\bweb-inf\b"),
    _rule("sql", r"'\s*\)*\s*(?:or|and|xor|\|\||&&)\s*\(?\s*['\"\w]+\s*(?:=|<|>|like\b|in\b|is\b)"),
    _rule("sql", r"\b(?:or|and)\s+(\d+)\s*=\s*\1\b"),
    _rule("sql", r";\s*(?:drop|delete|insert|update|alter|truncate|create|exec|shutdown)\s+\w+"),
    _rule("sql", r"\b(?:sleep|benchmark|pg_sleep|extractvalue|updatexml|load_file)\s*\("),
    _rule("sql", r"\bwaitfor\s+delay\b|\binto\s+(?:out|dump)file\b|\border\s+by\s+\d+\s*(?:--|#)"),
    _rule("sql", r"\binformation_schema\b|\bxp_cmdshell\b|\bsqlite_master\b|\bpg_catalog\b"),
    _rule("sql", r"'\s*(?:--|#|;|/\*)|\bselect\b.{1,100}\bfrom\b\s+\w+"),
    _rule("xss", r"\b(?:javascript|vbscript|livescript)\s*:|data\s*:\s*text/html"),
    _rule("xss", r"\bon(?:error|load|click|focus|blur|mouse\w+|key\w+|toggle|start|submit)\s*="),
    _rule("xss", r"\b(?:document\s*\.\s*(?:cookie|location|write)|window\s*\.\s*location)\b"),
    _rule("shell", rf"(?:;|\||&&|`|\$\(|\n)\s*(?:/\w+){{0,4}}/?(?:{_COMMANDS})\b"),
    _rule("shell", r"\$\((?:[^)]{1,100})\)|`[^`]{1,100}`|\$\{IFS\}|>\s*/(?:dev|tmp|etc)/"),
    _rule("template", r"\$\{[^}]{1,200}\}|#\{[^}]{1,200}\}|<%[=#]?|\{%\s*\w+|\{\{.{1,200}?\}\}"),
    _rule("stream", r"\b(?:php|phar|expect|gopher|dict|jar|file|ldaps?|netdoc)://"),
    _rule("metadata", r"169\.254\.169\.254|metadata\.google\.internal|fd00:ec2::254"),
)
"""In the path and in what is asked, beside the others."""


_TELLING_WORDS = (
    r"(?!.*(?:/etc/|/proc/|web-inf|schema|master|cmdshell|catalog|\.ini|metadata|169\.))"
)
_HARMLESS = re.compile(
    rf"{_TELLING_WORDS}(?:"
    r"(?:/[\w-]{1,200}(?:\.[\w-]{1,200}){0,8})*/?"  # a path
    r"|(?!on)[\w-]{1,40}=(?:[\w-]{0,300}|\d{1,20}(?:\.\d{1,20})?)"  # a part of a query
    r")",
    re.IGNORECASE,
)
"""What no rule below can match, seen at one look: nearly everything that programs ask."""
_TELLING = re.compile(r"[<\r\n]|\$\{|\{\{|\(\)|union", re.IGNORECASE)
"""One of these is in every header value that a rule of `EVERYWHERE` can match."""


def hostile(asked: Iterable[str], headers: Iterable[str]) -> str | None:
    """Return the heaviest rule if the texts together are hostile, else None."""
    asked = [text for text in asked if not _HARMLESS.fullmatch(text)]
    headers = [text for text in headers if _TELLING.search(text)]
    weights: dict[str, int] = {}
    for texts, rules in ((asked, (*ASKED, *EVERYWHERE)), (headers, EVERYWHERE)):
        for text in texts:
            for rule in rules:
                if rule.pattern.search(text[:LONGEST_CHARS]):
                    weights[rule.name] = max(weights.get(rule.name, 0), rule.weight)
    if sum(weights.values()) < BLOCKING:
        return None
    return max(weights, key=lambda name: weights[name])
