"""What a member's token may put into the definition of a server; the operator may put anything.

A process runs with what the gate's machine gives it, and a reference reads what the gate can read:
both are worth more than a role in one workspace. So they are the local operator's, except for
what the settings allow.
"""

import posixpath
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import (
    ArtifactTransport,
    HttpTransport,
    StdioTransport,
    Transport,
)

_STEERING = re.compile(
    r"LD_.*|DYLD_.*|PATH|HOME|TMPDIR|IFS|ENV|BASH_.*|SHELLOPTS|PYTHON.*|PERL5.*|RUBY.*|NODE_.*"
    r"|JAVA_.*|JDK_.*|_JAVA_.*|CLASSPATH|GCONV_PATH|GIT_(SSH|EXEC|CONFIG|ASKPASS|EDITOR|PAGER|PROXY).*"
    r"|SSL_.*|SSH_.*|XDG_.*|.*_PRELOAD|.*_OPTIONS|.*_PROXY"
    r"|npm_.*|UV_.*|PIP_.*|BUN_.*|DENO_.*|EDITOR|VISUAL|PAGER|SHELL|LOCPATH|MALLOC_.*|GLIBC_.*"
    r"|OPENSSL_.*|PERL.*|LUA_.*|PHP.*|DOTNET_.*|CORECLR_.*|COR_.*|GO(FLAGS|PROXY|ENV|ROOT|PATH|SUMDB)"
    r"|R_.*|JULIA_.*|KUBECONFIG|DOCKER_.*|AWS_(CONFIG|SHARED|CA|ENDPOINT).*|.*_CA_BUNDLE|.*_REGISTRY"
    r"|COREPACK_.*|YARN_.*|PNPM_.*|CARGO_.*|RUST.*|GEM_.*|BUNDLE_.*|VIRTUAL_ENV|CONDA_.*|ZDOTDIR",
    re.IGNORECASE,
)
"""Variables that decide which code runs, or whom it trusts, as far as they are known here: what a
program reads besides is for whoever allows its command to know (KNOWN-LIMITS)."""
ANY = "**"


class DefinitionBounds(Struct, frozen=True, kw_only=True):
    """What the settings allow; as it stands here, nothing.

    `commands` are patterns of whole commands, word by word, `sources` such of packages; `secrets`
    is a directory and `prefix` the beginning of a variable's name, both followed by the workspace.
    """

    commands: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    secrets: str = ""
    prefix: str = ""

    def beyond(self, transport: Transport, slug: str) -> str:
        """What of this definition only the local operator may say; "" when all of it is allowed."""
        odd = self._beyond_way(transport)
        if odd:
            return odd
        values: Iterable[str]
        if isinstance(transport, HttpTransport):
            values = transport.headers.values()
        elif isinstance(transport, ArtifactTransport):
            values = (*transport.env.values(), *transport.files.values())
        else:
            values = transport.env.values()
        return self._first_disallowed_reference(values, slug)

    def _beyond_way(self, transport: Transport) -> str:
        """What of the way to it, beside the values that it is given."""
        if isinstance(transport, ArtifactTransport):
            return self._beyond_package(transport)
        if not isinstance(transport, StdioTransport):
            return ""
        if transport.run_as != "own":
            return "run_as = gateway"
        if not any(_fits_command_pattern(transport.command, each) for each in self.commands):
            return "a command"
        if transport.cwd:
            return "cwd"
        # An allowed command with such a variable can run other code than the operator allowed.
        steering = [name for name in transport.env if _STEERING.fullmatch(name)]
        return f"the variable {steering[0]}" if steering else ""

    def _beyond_package(self, transport: ArtifactTransport) -> str:
        if not self.allows_source(transport.source):
            return f"the package {transport.source}"
        # Whoever let them run answers for what they left.
        ran = transport.run_scripts
        return f"an image for which scripts of {ran[0]} ran" if ran else ""

    def allows_source(self, source: str) -> bool:
        """True when a member may have it built, and hosted."""
        # A pattern of a folder would fit what is beside that folder, too.
        if ".." in source.partition(":")[2].split("/"):
            return False
        return any(fnmatchcase(source, each) for each in self.sources)

    def _first_disallowed_reference(self, values: Iterable[str], slug: str) -> str:
        for value in values:
            found = reference(value)
            if found is not None and not self._is_allowed_reference(
                found.scheme, found.place, slug
            ):
                return f"the reference {found.scheme}:{found.place}"
        return ""

    def _is_allowed_reference(self, scheme: str, place: str, slug: str) -> bool:
        # A name of the vault is one of this workspace: whose server it is says which is read.
        if scheme == "vault":
            return True
        if scheme == "env":
            begins = f"{self.prefix}{slug.upper().replace('-', '_')}__"
            # Hyphens are underscores here, so the variables of `a--b` begin as those of `a` do.
            rest = place.removeprefix(begins)
            # One more underscore would end the slug `a-`, whose variables those of `a` are not.
            plain = rest != "" and not rest.startswith("_") and "__" not in rest
            return bool(self.prefix) and place.startswith(begins) and plain
        # A path with `..` in it begins with the folder as well, and leads out of it.
        folder = f"{self.secrets}/{slug}/"
        return (
            bool(self.secrets) and place.startswith(folder) and posixpath.normpath(place) == place
        )


def _fits_command_pattern(command: tuple[str, ...], pattern: str) -> bool:
    """True when each word matches its pattern; a last `**` takes any that follow."""
    words = pattern.split()
    if words and words[-1] == ANY:
        words = words[:-1]
        command = command[: len(words)]
    elif not words:
        return False
    return len(command) == len(words) and all(map(fnmatchcase, command, words))
