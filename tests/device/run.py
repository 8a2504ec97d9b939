"""Run the named test modules on this interpreter: `micropython run.py test_cbor test_policy`.

MICROPYPATH (or PYTHONPATH) must hold the firmware and this folder. Prints `ok NAME` for each test
and exits 1 if one fails or if there is none.
"""

import gc
import sys


def print_error(error):
    """The traceback, as far as this interpreter keeps one."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        sys.excepthook(type(error), error, error.__traceback__)


def run(modules):
    """Run every `test_` function of `modules` (names); returns (passed, failed)."""
    passed = failed = 0
    for module_name in modules:
        module = __import__(module_name)
        # sorted, since MicroPython keeps no order of definition
        for name in sorted(dir(module)):
            if not name.startswith("test_"):
                continue
            gc.collect()
            try:
                getattr(module, name)()
            except Exception as error:
                failed += 1
                print("FAILED " + module_name + "." + name)
                print_error(error)
            else:
                passed += 1
                print("ok " + module_name + "." + name)
    return passed, failed


if __name__ == "__main__":
    passed, failed = run(sys.argv[1:])
    print(str(passed) + " passed, " + str(failed) + " failed")
    sys.exit(1 if failed or not passed else 0)
