"""``python -m tests.make_vectors``: writes the frozen vectors and the example of the page."""

from tests.make_vectors.contents import TRAINING, contents
from tests.make_vectors.page import PAGE, with_example
from tests.make_vectors.sheet import VECTORS, written


def main() -> None:
    """Writes every file."""
    VECTORS.mkdir(exist_ok=True)
    made = contents()
    for name, content in made.items():
        (VECTORS / name).write_text(written(content), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_example(page, made[TRAINING]), encoding="utf-8")


if __name__ == "__main__":
    main()
