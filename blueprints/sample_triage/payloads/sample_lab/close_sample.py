"""One record, whichever way the sample went."""

from step import begin, finish


def main():
    noted, _ = begin()
    words = f"{noted['sample']}: {noted['turbidity_ntu']} NTU, {noted['note']}."
    finish({"type": "sample_record", "executive_summary": words, **noted}, "sample_closed")


main()
