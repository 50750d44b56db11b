"""Write the change record."""

from step import begin, finish


def main():
    changed, _ = begin()
    words = f"The change was {changed['done']} on {len(changed['boxes'])} boxes."
    record = {
        "type": "change_record",
        "executive_summary": words,
        "change": changed["done"],
        "decision": changed["decision"],
        "boxes": changed["boxes"],
    }
    finish(record, "change_closed")


main()
