"""What a device runs after it has booted: the node in /writ, and what app.py adds to it.

app.py is yours. It has `setup(node)`, which registers resources with `@node.resource(...)`.
"""

import os

import writ

node = writ.Node.load("/writ")
if "app.py" in os.listdir("/") or "app.mpy" in os.listdir("/"):
    import app

    app.setup(node)
node.run()
