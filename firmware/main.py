"""The program of a device: it runs the node in /node with the app in app.py.

A folder /writ would hide the package `writ`: boards look for modules in the root folder first.
You write app.py. Its `setup(node)` registers resources with `@node.resource(...)`.
"""

import os

import writ

node = writ.Node.load("/node")
if "app.py" in os.listdir("/") or "app.mpy" in os.listdir("/"):
    import app

    app.setup(node)
node.run()
