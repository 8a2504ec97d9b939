"""What the device tests share; runs on MicroPython and CPython."""


def raises(expected, function, *args):
    """Call `function(*args)`, assert that it raises `expected`, and return the exception."""
    try:
        result = function(*args)
    except expected as error:
        return error
    raise AssertionError(expected.__name__ + " expected, not the result " + repr(result)[:80])
