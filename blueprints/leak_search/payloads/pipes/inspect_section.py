"""Listen at one section: the input of the step that was made for it from the template."""

from step import begin, finish

LEAK_DB = 50


def main():
    body, _ = begin()
    section = body["step_input"]
    leaks = section["sound_db"] >= LEAK_DB
    finish({**section, "leaks": leaks}, "section_inspected")


main()
