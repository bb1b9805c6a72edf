"""What all nodes of the syntax tree are, and the variables they refer to."""

from __future__ import annotations

import attrs


class Binding:
    """One declared variable (shadowing makes a new one).

    Attributes:
        name: As written.
        constant: Declared by `const`.
        owner: Number of the function or closure that declares it.
        in_loop: Whether a loop of that function surrounds it, so that each round has its own.
        captured: Whether a closure uses it.
        assigned: Whether anything assigns to it or changes it in place after its declaration.
        tagged: Whether the script sets its `tag`.
        python: Its name in the generated code.
    """

    __slots__ = (
        "assigned", "captured", "constant", "in_loop", "name", "owner", "python", "tagged",
    )  # fmt: skip

    def __init__(
        self, name: str, python: str, owner: int, *, constant: bool, in_loop: bool
    ) -> None:
        self.name = name
        self.constant = constant
        self.owner = owner
        self.in_loop = in_loop
        self.captured = False
        self.assigned = False
        self.tagged = False
        self.python = python


@attrs.define(eq=False)
class Node:
    """Anything in the tree."""

    line: int
    column: int


class Expression(Node):
    """Anything with a value."""

    __slots__ = ()


class Statement(Node):
    """Anything between two semicolons."""

    __slots__ = ()
