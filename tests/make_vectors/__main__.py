"""``python -m tests.make_vectors``: writes the frozen vectors."""

from tests.make_vectors.contents import contents
from tests.make_vectors.sheet import VECTORS, written


def main() -> None:
    """Writes every file."""
    VECTORS.mkdir(exist_ok=True)
    for name, content in contents().items():
        (VECTORS / name).write_text(written(content), encoding="utf-8")


if __name__ == "__main__":
    main()
