"""The program of a device: it runs the node in /writ with the app in app.py.

You write app.py. Its `setup(node)` registers resources with `@node.resource(...)`.
"""

import os

import writ

node = writ.Node.load("/writ")
if "app.py" in os.listdir("/") or "app.mpy" in os.listdir("/"):
    import app

    app.setup(node)
node.run()
