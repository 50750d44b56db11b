"""List the camera's pictures in the order of their names."""

from step import begin, finish


def main():
    given, _ = begin()
    pictures = dict(sorted(given["on_camera"].items()))
    listed = {"camera": given["camera"], "pictures": pictures, "archive": given["in_archive"]}
    finish(listed, "pictures_listed")


main()
