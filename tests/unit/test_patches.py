import time

import pytest

from service.errors import BlockwireError
from service.patches import PatchFailed, PatchOperation, apply_patch, is_multi, parse_operations


def test_a_hunk_replaces_the_one_place_its_lines_occur_at() -> None:
    assert apply_patch("a\nb\nc", " a\n-b\n+B\n c") == "a\nB\nc"


def test_lines_are_matched_whole_not_as_parts_of_longer_ones() -> None:
    assert apply_patch("ab\nb\nbc", "-b\n+X") == "ab\nX\nbc"


def test_hunks_are_separated_by_at_signs_whose_numbers_count_for_nothing() -> None:
    assert apply_patch("a\nb\nc\nd", "@@ -9,1 +9,1 @@ x\n-a\n+A\n@@\n-d\n+D") == "A\nb\nc\nD"


def test_a_later_hunk_sees_what_an_earlier_one_left() -> None:
    assert apply_patch("a", "-a\n+b\n@@\n-b\n+c") == "c"


def test_names_of_files_are_ignored() -> None:
    assert apply_patch("a", "--- a/x\n+++ b/x\n@@\n-a\n+b") == "b"
    assert apply_patch("a", "---\n+++\n-a\n+b") == "b"


def test_removed_and_added_lines_that_look_like_file_names_are_kept_apart_from_them() -> None:
    assert apply_patch("x\n---\ny", " x\n----\n y") == "x\ny"
    assert apply_patch("-- old", "@@\n--- old\n+-- new") == "-- new"
    assert apply_patch("x\n-- old", " x\n--- old\n+++ new") == "x\n++ new"


def test_gits_remark_about_a_last_line_and_patch_brackets_are_ignored() -> None:
    patch = "*** Begin Patch\n-a\n\\ No newline at end of file\n+b\n*** End Patch"
    assert apply_patch("a", patch) == "b"


def test_a_hunk_of_added_lines_goes_to_the_end() -> None:
    assert apply_patch("a", "+b\n+c") == "a\nb\nc"


def test_a_newline_at_the_end_of_the_value_stays_there() -> None:
    assert apply_patch("a\n", "+b") == "a\nb\n"
    assert apply_patch("a\nb\n", "-b\n+c\n") == "a\nc\n"
    assert apply_patch("a\nb", "-b\n+c\n") == "a\nc"


def test_the_first_line_of_an_empty_value_is_not_preceded_by_an_empty_one() -> None:
    assert apply_patch("", "+a\n+b") == "a\nb"


def test_all_lines_can_be_removed() -> None:
    assert apply_patch("a\nb", "-a\n-b") == ""
    assert apply_patch("a\nb\n", "-a\n-b") == ""


def test_empty_lines_of_the_value_are_lines() -> None:
    assert apply_patch("a\n\nb", " a\n-\n b") == "a\nb"
    assert apply_patch("\n", "+a") == "\na\n"
    assert apply_patch("a\n\n\n", " a\n \n+b") == "a\n\nb\n\n"


def test_a_blank_line_counts_as_an_empty_context_line() -> None:
    assert apply_patch("a\n\nb\nb", " a\n\n-b\n+c") == "a\n\nc\nb"


def test_blank_lines_between_hunks_do_no_harm() -> None:
    assert apply_patch("a\nb", "\n@@\n-a\n+A\n\n@@\n-b\n+B\n\n\n") == "A\nB"
    assert apply_patch("a", "+b\n\n") == "a\nb"


def test_a_hunk_of_context_only_is_checked_and_changes_nothing() -> None:
    assert apply_patch("a\nb", " a\n b") == "a\nb"
    with pytest.raises(PatchFailed, match="not found"):
        apply_patch("a\nb", " b\n a")


def test_other_separators_than_newline_belong_to_the_line() -> None:
    assert apply_patch("a\u2028b\x0cc\n\U0001f600é", "-\U0001f600é\n+ü") == "a\u2028b\x0cc\nü"
    assert apply_patch("a\u2028b", "-a\u2028b\n+c") == "c"


def test_whitespace_has_to_match_exactly() -> None:
    with pytest.raises(PatchFailed, match="not found"):
        apply_patch("a ", "-a\n+b")
    assert apply_patch("\ta", "-\ta\n+\tb") == "\tb"


def test_a_value_with_crlf_keeps_it_in_every_line() -> None:
    assert apply_patch("a\r\nb\r\n", "-a\n+A\n+B") == "A\r\nB\r\nb\r\n"
    assert apply_patch("a\r\nb", "-b\r\n+B\r\n+C\r\n") == "a\r\nB\r\nC"


def test_a_patch_with_crlf_fits_a_value_without_it() -> None:
    assert apply_patch("a\nb", "@@\r\n-b\r\n+c\r\n") == "a\nc"


def test_in_a_value_of_mixed_line_ends_only_exact_lines_match() -> None:
    assert apply_patch("a\r\nb\nc", "-b\n+B\n") == "a\r\nB\nc"
    assert apply_patch("a\r\nb\nc", "-a\r\n+A\r\n") == "A\r\nb\nc"
    with pytest.raises(PatchFailed, match="not found"):
        apply_patch("a\r\nb\nc", "-a\n+A")


def test_context_that_does_not_occur_is_named_with_its_hunk() -> None:
    with pytest.raises(PatchFailed, match=r"hunk 2: context not found.*'missing'"):
        apply_patch("a", "-a\n+b\n@@\n+new\n missing\n-x")


def test_context_whose_lines_occur_only_apart_is_not_found() -> None:
    with pytest.raises(PatchFailed, match="not found"):
        apply_patch("a\nx\nb", " a\n-b")


def test_a_long_missing_line_is_quoted_in_part() -> None:
    with pytest.raises(PatchFailed) as caught:
        apply_patch("a", "-" + "y" * 5000)
    assert len(str(caught.value)) < 300


def test_context_that_occurs_more_than_once_is_ambiguous_and_its_lines_are_named() -> None:
    with pytest.raises(PatchFailed, match=r"ambiguous.*lines 1, 3;"):
        apply_patch("a\nb\na", "-a\n+c")


def test_places_that_overlap_are_two_places() -> None:
    with pytest.raises(PatchFailed, match=r"ambiguous.*lines 1, 2;"):
        apply_patch("a\na\na", "-a\n-a")


def test_of_many_places_the_first_twenty_are_named() -> None:
    with pytest.raises(PatchFailed, match=r"18, 19, 20;"):
        apply_patch("a\n" * 100, "-a")


@pytest.mark.parametrize("patch", ["", "\n\n", "@@\n@@", "--- a\n+++ b", "*** Begin Patch\n*** End Patch"])
def test_a_patch_without_hunks_is_refused(patch: str) -> None:
    with pytest.raises(PatchFailed, match="no hunks"):
        apply_patch("a", patch)


def test_a_line_without_a_sign_is_refused_and_named() -> None:
    with pytest.raises(PatchFailed, match=r"line 2 starts with none of .*'plain'"):
        apply_patch("plain", "@@\nplain\n+x")


def test_a_refused_patch_is_an_error_of_ours_that_names_the_argument() -> None:
    with pytest.raises(BlockwireError, match=r"^patch: "):
        apply_patch("a", "")


def test_a_large_value_is_patched_in_little_time() -> None:
    lines = [f"line {number}" for number in range(40_000)]
    patch = "\n".join(f"@@\n-line {number}\n+new {number}" for number in range(0, 40_000, 100))
    began = time.monotonic()
    after = apply_patch("\n".join(lines), patch)
    assert time.monotonic() - began < 5
    assert after.count("new ") == 400
    assert len(after.split("\n")) == 40_000


def test_a_long_hunk_over_a_periodic_value_takes_little_time() -> None:
    began = time.monotonic()
    with pytest.raises(PatchFailed, match="not found"):
        apply_patch("a\n" * 200_000, " a\n" * 60_000 + "-b")
    assert time.monotonic() - began < 5


def test_more_work_than_is_good_for_others_is_refused() -> None:
    with pytest.raises(PatchFailed, match="too many hunks"):
        apply_patch("a\n" * 200_000, "@@\n+x\n" * 5_000)


@pytest.mark.parametrize(
    "patch",
    ["*** Add Block: a\n+x", "*** Update Block: a\n", "\n*** Delete Block: a\r\n", "+x\n*** Move to: b"],
)
def test_a_header_makes_a_patch_one_of_several_blocks(patch: str) -> None:
    assert is_multi(patch)


@pytest.mark.parametrize("patch", ["", "+*** Add Block: a", " *** Add Block: a", "*** Begin Patch\n-a\n+b"])
def test_without_a_header_at_the_start_of_a_line_a_patch_is_of_one_block(patch: str) -> None:
    assert not is_multi(patch)


def test_operations_come_in_the_order_written() -> None:
    patch = (
        "*** Begin Patch\n"
        "*** Add Block: plans\nDescription: What comes next\n+one\n+two\n"
        "*** Update Block: notes\n@@\n-a\n+b\n*** Move to: old notes\n"
        "*** Delete Block: scratch\n\n"
        "*** Update Block: c\n*** Move to: d\n"
        "*** End Patch\n"
    )
    assert parse_operations(patch) == [
        PatchOperation(kind="add", label="plans", text="one\ntwo", description="What comes next"),
        PatchOperation(kind="update", label="notes", text="@@\n-a\n+b", new_label="old notes"),
        PatchOperation(kind="delete", label="scratch"),
        PatchOperation(kind="update", label="c", new_label="d"),
    ]


def test_the_diff_of_an_update_can_be_applied() -> None:
    (operation,) = parse_operations("*** Update Block: n\r\n-a\r\n+b\r\n")
    assert operation.label == "n"
    assert apply_patch("a\nc", operation.text) == "b\nc"


def test_an_added_block_keeps_empty_lines_within_and_drops_those_around() -> None:
    (operation,) = parse_operations("*** Add Block: x\r\n\n+a\r\n\n+\n++b\n\n\n")
    assert operation.text == "a\n\n\n+b"
    assert operation.description is None


def test_an_added_block_may_be_empty() -> None:
    assert parse_operations("*** Add Block: x") == [PatchOperation(kind="add", label="x")]
    assert parse_operations("*** Add Block: x\nDescription:")[0].description == ""


def test_a_description_is_one_only_straight_below_the_header() -> None:
    (operation,) = parse_operations("*** Add Block: x\n+Description: no")
    assert (operation.text, operation.description) == ("Description: no", None)


@pytest.mark.parametrize("patch", ["", "\n", "*** Begin Patch\n*** End Patch"])
def test_a_patch_of_several_blocks_without_operations_is_refused(patch: str) -> None:
    with pytest.raises(PatchFailed, match="no operations"):
        parse_operations(patch)


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ("+a\n*** Add Block: x", "no header before '\\+a'"),
        ("*** Add Block:  \n+a", "'\\*\\*\\* Add Block:' lacks a label"),
        ("*** Rename Block: x", "unknown header"),
        ("*** Add Block: x\nplain", "'\\*\\*\\* Add Block: x' each line starts with '\\+': 'plain'"),
        ("*** Delete Block: x\n-a", "'\\*\\*\\* Delete Block: x'"),
        ("*** Update Block: x\n\n", "'\\*\\*\\* Update Block: x': no hunks"),
        ("*** Update Block: x\nplain", "'\\*\\*\\* Update Block: x': line 1 "),
        ("*** Move to: x", "Move to"),
        ("*** Add Block: x\n*** Move to: y", "Move to"),
        ("*** Update Block: x\n*** Move to: y\n*** Move to: z", "Move to"),
    ],
)
def test_an_operation_that_cannot_be_read_is_refused_before_any_is_done(patch: str, problem: str) -> None:
    with pytest.raises(PatchFailed, match=problem):
        parse_operations(f"*** Delete Block: first\n{patch}" if patch.startswith("***") else patch)


def test_a_move_before_any_header_or_below_a_deletion_is_refused() -> None:
    with pytest.raises(PatchFailed, match="Move to"):
        parse_operations("*** Move to: x")
