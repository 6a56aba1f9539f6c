"""Why a platform does not do what it is asked, or why a container does not keep its contract."""


class Refusal(Exception):
    """What is wrong, in a sentence for whoever wrote the README or the server."""


def require(condition: object, sentence: str) -> None:
    """Refuses with `sentence` unless the condition holds."""
    if not condition:
        raise Refusal(sentence)
