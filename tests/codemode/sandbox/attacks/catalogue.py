"""All attacks by number, and where those are tested that need more than one program."""

from __future__ import annotations

from collections.abc import Mapping

from tests.codemode.sandbox.attacks import (
    probes_files,
    probes_interpreter,
    probes_kernel,
    probes_limits,
    probes_outside,
)

__all__ = ["ATTACKS", "ELSEWHERE"]

ATTACKS = (
    *probes_files.ATTACKS,
    *probes_outside.ATTACKS,
    *probes_kernel.ATTACKS,
    *probes_limits.ATTACKS,
    *probes_interpreter.ATTACKS,
)

_HERE = "codemode/sandbox/attacks"
_EXECUTOR = "codemode/executor"
_HOSTILE = f"{_EXECUTOR}/streams/test_hostile_child.py"
_LIMITS = f"{_EXECUTOR}/host/test_limits.py"
_VALUES = "codemode/values/test_hostile_values.py"

ELSEWHERE: Mapping[int, tuple[str, str]] = {
    66: (_HOSTILE, "test_broken_protocol_is_named"),
    67: (_HOSTILE, "test_broken_protocol_is_named"),
    70: (f"{_HERE}/test_isolation.py", "test_nothing_survives_a_run"),
    71: (
        f"{_HERE}/test_isolation.py",
        "test_every_library_draws_other_random_numbers_in_each_child",
    ),
    79: (f"{_HERE}/test_isolation.py", "test_each_gets_its_share_whatever_the_other_takes"),
    80: (f"{_HERE}/test_lifetime.py", "test_no_child_outlives_what_made_it"),
    81: (_LIMITS, "test_tool_call_limit"),
    82: (_LIMITS, "test_value_limit_of_arguments"),
    83: (_VALUES, "test_depth_is_counted_as_people_count_it"),
    84: (_VALUES, "test_bytes_that_are_no_value_are_refused"),
    85: (_HOSTILE, "test_what_follows_the_result_is_not_heard"),
    86: (_HOSTILE, "test_frame_that_never_ends_ends_with_the_time_of_its_run"),
    87: (f"{_HERE}/test_lifetime.py", "test_cleaning_up_follows_no_link"),
    97: (f"{_HERE}/test_attacks.py", "test_gaps_are_the_documented_ones"),
    98: (f"{_HERE}/test_isolation.py", "test_output_of_one_never_appears_in_another"),
    99: (f"{_HERE}/test_lifetime.py", "test_five_hundred_runs_leave_nothing"),
    100: (
        f"{_EXECUTOR}/test_killed.py",
        "test_killed_mid_run_gives_the_record_and_repeats_nothing",
    ),
}
"""File and name of the test, by the number of the attack."""
