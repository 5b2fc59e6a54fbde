"""The name of a span is opaque: one form is passed on as it came, anything else is dropped."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.transport.tracing import NOT_TRACED, traceparent_of

HEX = "0123456789abcdef"


def names() -> st.SearchStrategy[str]:
    """Names of the right form."""

    def digits(count: int) -> st.SearchStrategy[str]:
        text = st.text(HEX, min_size=count, max_size=count)
        return text.filter(lambda found: set(found) != {"0"})

    return st.builds("00-{}-{}-{}".format, digits(32), digits(16), st.sampled_from(["00", "01"]))


@given(names())
def test_a_name_of_the_right_form_comes_through_as_it_is(name: str) -> None:
    assert traceparent_of(name) == name


@given(names(), st.integers(0, 54), st.characters(codec="utf-8"))
def test_a_character_of_another_kind_drops_the_whole_name(
    name: str, place: int, character: str
) -> None:
    changed = name[:place] + character + name[place + 1 :]
    kinds = {2: "-", 35: "-", 52: "-", 53: "0", 54: "01"}
    stays = character in kinds.get(place, "0" if place < 2 else HEX)
    zeros = {"0" * 32, "0" * 16} & set(changed.split("-"))
    assert traceparent_of(changed) == (changed if stays and not zeros else "")


@given(st.text(max_size=80) | st.none())
def test_no_other_text_comes_through(text: str | None) -> None:
    assert traceparent_of(text) == ""


def test_names_of_nothing_are_dropped() -> None:
    good = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
    for name in (f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff-{good}-01", f"00-{good}-01\n", ""):
        assert traceparent_of(name) == ""


def test_what_is_not_traced_has_no_name() -> None:
    with NOT_TRACED.span("round", run="r", round=1) as span:
        span.end("failed")
        assert span.traceparent == NOT_TRACED.begin("ask").traceparent == ""
