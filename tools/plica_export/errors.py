class Refusal(Exception):
    """The checkpoint cannot become a model file; the message is one line that says why."""


def one_line(error, limit=600):
    """The message of an exception on one line, with its type where that says more than the text."""
    text = " ".join(str(error).split())
    if len(text) > limit:
        text = text[:limit] + " ..."
    if isinstance(error, (KeyError, NameError, TypeError, AttributeError, AssertionError)):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text or type(error).__name__


def listed(names, limit=40):
    """Names joined by commas, the excess counted."""
    names = list(names)
    text = ", ".join(names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"
