"""The six architectures."""

from tests.architectures import backbone  # noqa: F401 - a fixture is used by its name
