from mnedge.model.resources import Device
from mnedge_devices.trees import above, entries, links, number, parent_name, text, told_apart


def test_what_cannot_be_read_reads_as_nothing(tmp_path):
    assert text(tmp_path / "none") == ""
    assert number(tmp_path / "none") == 0
    assert entries(tmp_path / "none") == []
    assert links(tmp_path / "none") == {}


def test_a_file_is_one_line_and_a_number_is_one_of_any_base(tmp_path):
    (tmp_path / "f").write_bytes(b"a\0b\n c \xff")
    assert text(tmp_path / "f") == "a b c \ufffd"
    (tmp_path / "n").write_text("0x1f\n")
    assert number(tmp_path / "n", 16) == number(tmp_path / "n", 0) == 31
    assert number(tmp_path / "n") == 0
    (tmp_path / "n").write_text("-1")
    assert number(tmp_path / "n") == 0


def test_entries_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("video10", "video2", "other"):
        (tmp_path / name).touch()
    assert [path.name for path in entries(tmp_path, "video")] == ["video2", "video10"]


def test_what_stands_above_is_found_below_the_root_only(tmp_path):
    device = tmp_path / "root" / "usb" / "interface"
    device.mkdir(parents=True)
    (tmp_path / "marker").touch()
    assert above(device, "marker", tmp_path / "root") is None
    (tmp_path / "root" / "usb" / "marker").touch()
    assert above(device, "marker", tmp_path / "root") == tmp_path / "root" / "usb"


def test_a_thing_is_named_after_the_hardware_behind_it(tmp_path):
    chip = tmp_path / "fe20.gpio" / "gpio" / "gpiochip0"
    plain = tmp_path / "virtual" / "gpiochip1"
    assert parent_name(chip, "gpiochip0") == "fe20.gpio"
    assert parent_name(plain, "gpiochip1") == "gpiochip1"


def test_two_of_one_id_are_told_apart():
    same = [Device(id="a", kind="usb")] * 3
    assert [one.id for one in told_apart(same)] == ["a", "a#2", "a#3"]
