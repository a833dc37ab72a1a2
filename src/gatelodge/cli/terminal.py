"""What every command holds: the global options, the way to the gate, and how it speaks."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from gatelodge.cli import asking, output
from gatelodge.core.errors import GateUnreachable, Invalid

if TYPE_CHECKING:
    from gatelodge.cli.client import GateClient
    from gatelodge.config.load import LoadedSettings


_LOOK = "Say --yes, or look first with --dry-run."
_ENDED = frozenset(("ended", "revoked", "expired"))


class GlobalOptions(Struct, frozen=True, kw_only=True):
    """The options that stand before the command."""

    data_dir: str = ""
    config: Path | None = None
    sets: tuple[str, ...] = ()
    workspace: str = "main"
    url: str = ""
    token_file: Path | None = None


class CommandRun:
    """One run of a command. `json` may be set by the command's own `--json` too."""

    def __init__(self, options: GlobalOptions, *, json: bool = False) -> None:
        self.options = options
        self.json = json
        self._gate: GateClient | None = None
        self._loaded: LoadedSettings | None = None

    @property
    def loaded(self) -> "LoadedSettings":
        """The settings, read once. Raises SettingsError."""
        if self._loaded is None:
            import os

            from gatelodge.config.load import SettingSources, load

            self._loaded = load(
                SettingSources(
                    file=self.options.config,
                    environ=os.environ,
                    sets=self.options.sets,
                    data_dir=self.options.data_dir,
                )
            )
        return self._loaded

    @property
    def gate(self) -> "GateClient":
        """The admin API: remote, a running node's socket, or in this process."""
        if self._gate is None:
            from gatelodge.cli.client import (
                GateClient,
                InProcess,
                LocalSocket,
                RemoteGate,
                token_from,
            )

            way: Any
            if self.options.url:
                way = RemoteGate(self.options.url, token_from(self.options.token_file))
            else:
                settings = self.loaded.settings
                # The gate that runs holds the lock of the directory, so it is looked for first.
                way = LocalSocket.found(settings) or InProcess(settings)
            self._gate = GateClient(way, self.options.workspace)
        return self._gate

    def need_running_gate(self) -> None:
        """Raise GateUnreachable where no gate runs, and this process would stand in for it."""
        from gatelodge.cli.client import LocalSocket

        if not self.options.url and LocalSocket.found(self.loaded.settings) is None:
            raise GateUnreachable(
                f"no node runs on {self.loaded.settings.data_dir}",
                remedy="Name its directory with --data-dir, or start one: gatelodge up",
            )

    def close(self) -> None:
        """Let go of the gate."""
        if self._gate is not None:
            self._gate.close()

    def show(self, value: Any, told: Callable[[Any], str]) -> None:
        """Print a value: as JSON if asked for, else as `told` words it."""
        click.echo(output.as_json(value) if self.json else told(value))

    def rows(
        self,
        items: Iterable[dict[str, Any]],
        columns: Sequence[str],
        empty: str,
    ) -> None:
        """Print a list: JSON, or a table of these columns, or what to do when it is empty."""
        found = list(items)
        if self.json:
            click.echo(output.as_json(found))
        elif found:
            click.echo(output.listing(columns, found))
        else:
            click.echo(empty)

    def say(self, text: str) -> None:
        """Print a remark for people; nothing when JSON was asked for."""
        if not self.json:
            click.echo(text)

    def show_token(self, made: dict[str, Any], told: str) -> None:
        """Print an answer with a token that is shown once; `told` is said of it to people."""
        if self.json:
            click.echo(output.as_json(made))
            return
        # The token alone on standard output, so that it can be piped into a file.
        click.echo(made["token"])
        click.echo(told, err=True)

    def sure(
        self,
        question: str,
        *,
        yes: bool,
        remedy: str = _LOOK,
        look: Callable[[], None] | None = None,
    ) -> None:
        """Ask before something ends, is approved, or is let in again; Abort on no.

        `look` raises for what is not there: nobody is asked about that.

        Raises Invalid where nobody can be asked and `--yes` was not given: a script says that it
        means it.
        """
        if yes:
            return
        # A machine reads JSON, so nobody is there to answer whatever the terminal says.
        if self.json or not output.on_terminal():
            raise Invalid(
                f"{question} Nobody can be asked here, so nothing was changed.",
                remedy=remedy,
            )
        if look is not None:
            look()
        asking.confirm(question)


def present(items: Iterable[dict[str, Any]], *, everything: bool) -> Iterable[dict[str, Any]]:
    """The items whose status is not an end; with `everything` all."""
    return (each for each in items if everything or each["status"] not in _ENDED)
