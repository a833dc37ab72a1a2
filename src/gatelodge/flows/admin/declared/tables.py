"""The tables of the file, in the order in which their rows can be made."""

from typing import Any, Final

from gatelodge.flows.admin.declared.people import AgentTable, GroupTable, MemberTable
from gatelodge.flows.admin.declared.rules import GrantTable, GuardrailTable
from gatelodge.flows.admin.declared.secrets import SecretTable
from gatelodge.flows.admin.declared.servers import ServerTable
from gatelodge.flows.nouns.file_table import FileTable

TABLES: Final[tuple[FileTable[Any], ...]] = (
    MemberTable(),
    AgentTable(),
    GroupTable(),
    SecretTable(),
    ServerTable(),
    GuardrailTable(),
    GrantTable(),
)
"""What a server or guardrail needs stands before it; a grant may name all of them."""
