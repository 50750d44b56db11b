import os

import pytest

from mnedge.gateway.rest.artifacts import RangeError, Span, span_of
from tests.gateway.rest.bundles import over, submitted


@pytest.fixture
async def place(node):
    job_id = await submitted(node.api)
    await over(node.api, job_id)
    folder = node.rig.config.runs_root / job_id
    (folder / "out").mkdir()
    (folder / "out" / "numbers.txt").write_bytes(b"0123456789")
    (folder / "out" / "page.html").write_text("<script>alert(1)</script>")
    (folder / "out" / "ein bild ü.png").write_bytes(b"\x89PNG")
    return folder, f"/api/v1/jobs/{job_id}/artifacts"


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/artifacts")
async def test_files_are_listed_with_size_type_and_digest(node, place):
    folder, path = place
    listed = {one["path"]: one for one in (await node.api.get(path)).json()["data"]}
    one = listed["out/numbers.txt"]
    assert one["size_bytes"] == 10
    assert one["content_type"] == "text/plain"
    assert one["sha256"].startswith("84d89877")
    assert one["href"] == f"{path}/out/numbers.txt"
    assert (folder / "result.json").stat().st_size == listed["result.json"]["size_bytes"]
    for href in (each["href"] for each in listed.values()):
        assert (await node.api.get(href)).status_code == 200


@pytest.mark.drives("GET /api/v1/jobs/{job_id}/artifacts/{path}")
async def test_a_file_is_read_whole_or_in_part(node, place):
    _, path = place
    whole = await node.api.get(f"{path}/out/numbers.txt")
    assert whole.content == b"0123456789"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["x-content-type-options"] == "nosniff"
    for asked, content, told in (
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
    ):
        part = await node.api.get(f"{path}/out/numbers.txt", headers={"range": asked})
        assert (part.status_code, part.content) == (206, content)
        assert part.headers["content-range"] == told
    none = await node.api.get(f"{path}/out/numbers.txt", headers={"range": "bytes=10-"})
    assert none.status_code == 416
    assert none.headers["content-range"] == "bytes */10"
    head = await node.api.head(f"{path}/out/numbers.txt")
    assert head.headers["content-length"] == "10"
    assert head.content == b""


async def test_a_file_that_the_client_has_is_not_sent_again(node, place):
    _, path = place
    tag = (await node.api.get(f"{path}/out/numbers.txt")).headers["etag"]
    same = await node.api.get(f"{path}/out/numbers.txt", headers={"if-none-match": f"W/{tag}"})
    assert (same.status_code, same.content) == (304, b"")
    headers = {"range": "bytes=0-1", "if-range": '"other"'}
    assert (await node.api.get(f"{path}/out/numbers.txt", headers=headers)).status_code == 200
    headers = {"range": "bytes=0-1", "if-range": tag}
    assert (await node.api.get(f"{path}/out/numbers.txt", headers=headers)).status_code == 206


async def test_what_could_run_in_a_browser_is_saved_and_not_shown(node, place):
    _, path = place
    page = await node.api.get(f"{path}/out/page.html")
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in page.headers["content-security-policy"]
    picture = await node.api.get(f"{path}/out/ein%20bild%20%C3%BC.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["content-disposition"].startswith("inline")


async def test_no_path_leads_out_of_the_folder(node, place):
    folder, path = place
    outside = folder.parent / "secret.txt"
    outside.write_text("not for you")
    os.symlink(outside, folder / "link.txt")
    os.symlink(folder.parent, folder / "up")
    os.mkfifo(folder / "pipe")
    for name in (
        "link.txt", "up/secret.txt", "..%2Fsecret.txt", "out%2F..%2F..%2Fsecret.txt", "pipe",
        "out", "%00", "out/", ".%2Fresult.json", "nothing", "/etc/passwd", "a" * 5000,
    ):  # fmt: skip
        answer = await node.api.get(f"{path}/{name}")
        assert answer.status_code in (400, 403, 404, 414), name
        assert "not for you" not in answer.text


async def test_a_file_is_also_found_by_its_id(node, place):
    folder, path = place
    answer = await node.api.get(f"{path}/result_json")
    assert answer.content == (folder / "result.json").read_bytes()


@pytest.mark.parametrize(
    "text, span",
    [
        (None, None),
        ("bytes=0-", Span(0, 10)),
        ("bytes=2-1", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("items=0-1", None),
        ("bytes=-99", Span(0, 10)),
    ],
)
def test_a_range_that_is_none_is_as_if_it_were_not_there(text, span):
    assert span_of(text, 10) == span


@pytest.mark.parametrize("text, size", [("bytes=0-", 0), ("bytes=-0", 5), ("bytes=7-9", 7)])
def test_a_range_behind_the_end_is_refused(text, size):
    with pytest.raises(RangeError):
        span_of(text, size)
