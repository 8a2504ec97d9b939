"""The program of a device: it runs the node in /node with the app in app.py (docs/boot.md).

A folder /writ would hide the package `writ`: boards look for modules in the root folder first.
You write app.py. Its `setup(node)` registers resources with `@node.resource(...)`.
"""

from writ import board

board.run()
