"""Functions that this generation of the SDK makes tools of; it reads their source from this file."""

from letta_client.client import BaseTool


def double_it(number: int) -> int:
    """Double a number.

    Args:
        number (int): the number to double

    Returns:
        int: twice the number
    """
    return number * 2


def triple_it(number: int) -> int:
    """Triple a number.

    Args:
        number (int): the number to triple

    Returns:
        int: three times the number
    """
    return number * 3


class HalveIt(BaseTool):
    """A tool as a class."""

    name: str = "halve_it"

    def run(self, number: int) -> int:
        """Halve a number.

        Args:
            number (int): the number to halve

        Returns:
            int: half the number
        """
        return number // 2


FUNCTIONS = {"double_it": double_it, "triple_it": triple_it, "halve_it": HalveIt()}
