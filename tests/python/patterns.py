"""The PATTERN arguments of the checks in this folder."""

import fnmatch


def add_to(parser, what):
    """The positional arguments, which choose among models or cases by their names."""
    parser.add_argument("patterns", nargs="*", metavar="PATTERN",
                        help=f"only {what} whose name contains this, or matches it as a glob")


def matches(name, patterns):
    """Whether a name is chosen; without patterns, all are."""
    return not patterns or any(p in name or fnmatch.fnmatch(name, p) for p in patterns)
