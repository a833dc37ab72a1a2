"""What a file says that must come to nothing: rules without bounds, grants without a name."""

import pytest
from tests.unit.admin.test_apply import FILE, dry, made

from gatelodge.core.errors import Invalid


def test_a_guardrail_that_is_too_long_is_refused_before_anything_is_made_of_it(house):
    long = "// " + "a::" * 10_000 + "\\nforbid (principal, action, resource);"
    with pytest.raises(Invalid, match="at most 16384 bytes"):
        dry(house, FILE.replace("forbid (principal, action, resource);", long))


@pytest.mark.parametrize("to", ["agent: ", "group:", "group:\\t", "everyone\\n", "member:@"])
def test_a_grant_to_nobody_is_none_to_everybody(house, to):
    with pytest.raises(Invalid):
        made(house, FILE + f'\n[[grants]]\nto = "{to}"\nserver = "git"\nlevel = "all"\n')
