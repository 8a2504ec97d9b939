"""The list of resources that /.well-known/core returns (RFC 6690)."""

from ..errors import UsageError


def link_format(resources, query=()):
    """The links as text: '</temp>;rt="temperature";obs,</led>'.

    resources: [(path, [(attribute, value or None)])]; query: the request's Uri-Query values. Each
    of these is a filter `name=value`, `name=prefix*`, where `href` is the path, and a link must
    pass all of them (section 4.1). Raises `UsageError` for what cannot be quoted.
    """
    links = []
    for path, attributes in resources:
        link = "</" + path + ">"
        for name, value in attributes:
            link += ";" + name if value is None else ";" + name + '="' + value + '"'
            if value is not None and '"' in value:
                raise UsageError("quote in a link attribute")
        if all([_passes(path, attributes, wanted) for wanted in query]):
            links.append(link)
    return ",".join(links)


def _passes(path, attributes, wanted):
    name, _, wanted = wanted.partition("=")
    if name == "href":
        values = ["/" + path]
    else:
        # an attribute such as rt holds several values (section 2)
        values = []
        for attribute, value in attributes:
            if attribute == name:
                values += (value or "").split(" ")
    if wanted.endswith("*"):
        return any([value.startswith(wanted[:-1]) for value in values])
    return wanted in values
