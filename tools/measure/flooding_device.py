"""A device that serves `temp` under a flood: `micropython flooding_device.py FOLDER`."""

import sys

import writ

node = writ.Node.load(sys.argv[1])


@node.resource("temp")
def temp(request):
    return b"21.5"


node.open()
print("ready")
node.run()
