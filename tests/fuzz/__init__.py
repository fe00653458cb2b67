"""What is thrown at the parsers: seeds, mutations, and the loop that keeps count. `python -m tests.fuzz` is
the long form.
"""
