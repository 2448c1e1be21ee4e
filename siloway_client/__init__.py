"""A thin client of Siloway: typed stubs of the generated code, and the `siloway` command.

It needs none of the silos' libraries.
"""
