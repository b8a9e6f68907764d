"""What every command shares: the context, options, names with completion, one run over several instances."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openclaw_ocm.core.names import MAIN, InstanceName, parse_name
from openclaw_ocm.errors import BUG, SOME_FAILED, UNDO_INCOMPLETE, Invalid, OcmError, as_ocm_error, bug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openclaw_ocm.cli.answers import Answers
    from openclaw_ocm.core.load import Load
    from openclaw_ocm.core.names import BackendName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

_F = TypeVar("_F", bound="Callable[..., Any]")
_I = TypeVar("_I", bound=str)
# What operations returned, and the errors of those that failed, by name.
Attempts = tuple[list[Any], list[tuple[str, OcmError]]]
# How long a command waits for a gateway that it restarts, where it has no option for that.
READY_SECONDS = 180.0
_TOLD = f"{__name__}.told"
DAY_SECONDS = 86400
# Those of a record, spelt out: most commands need not load what it is made of.
NETWORKS = ("own", "none", "shared")


class NameType(click.ParamType[InstanceName]):
    """An instance name; completes to the instances that exist."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> InstanceName:
        """Return the name, or raise `Invalid`."""
        del param, ctx
        return parse_name(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the instances whose names begin with what was typed."""
        from click.shell_completion import CompletionItem

        from openclaw_ocm.system.host import current_host
        from openclaw_ocm.system.kept.names import instance_names

        del param
        given = ctx.params.get("names") or ()
        names = instance_names(current_host(os.environ).paths)
        return [CompletionItem(name) for name in names if name.startswith(incomplete) and name not in given]


class NewNameType(NameType):
    """The name of an instance that is to be, which no completion can know."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return nothing."""
        del ctx, param, incomplete
        return []


class SourceType(NameType):
    """What an instance inherits from: main, or an instance."""

    name = "source"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> InstanceName:
        """Return main or the name, or raise `Invalid`."""
        return MAIN if value == MAIN else super().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return main and the instances whose names begin with what was typed."""
        from click.shell_completion import CompletionItem

        main = [CompletionItem(MAIN)] if MAIN.startswith(incomplete) else []
        return [*main, *super().shell_complete(ctx, param, incomplete)]


class Finite(click.FloatRange):
    """A number in a range; inf and nan, which a range lets through, are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return the number, or fail."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


NAME = NameType()
NEW_NAME = NewNameType()
SOURCE = SourceType()
name_argument = click.argument("name", type=NAME, metavar="NAME")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")


jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="On how many to work at once; by cores and free memory if left out.",
)


def names_argument(function: _F) -> _F:
    """Let a command take several names, or --all."""
    all_option = click.option("--all", "everything", is_flag=True, help="All instances.")
    argument = click.argument("names", type=NAME, nargs=-1, metavar="NAME...")
    return argument(all_option(function))


def effort_options(function: _F) -> _F:
    """Let a command say how it waits for the gateway and what it does about trouble."""
    keep = click.option(
        "--keep", is_flag=True, help="Leave everything as it is when it fails, for inspection."
    )
    return wait_options(function, keep)


def wait_options(function: _F, *others: Callable[[Any], Any]) -> _F:
    """Let a command that never keeps a failure say how it waits for the gateway."""
    for option in (
        click.option(
            "--timeout",
            "timeout_seconds",
            type=Finite(min=1, max=DAY_SECONDS),
            default=READY_SECONDS,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait until the gateway is ready.",
        ),
        *others,
        click.option("--repair", is_flag=True, help="Write a definition anew that was edited by hand."),
    ):
        function = option(function)
    return function


def effort(options: Mapping[str, Any]) -> Effort:
    """Return what `effort_options` or `wait_options` said."""
    from openclaw_ocm.operations.planning.repair import Effort

    return Effort(
        timeout_seconds=options["timeout_seconds"],
        keep=options.get("keep", False),
        repair=options["repair"],
    )


def refuse_both(options: Mapping[str, Any]) -> None:
    """Refuse two options that contradict each other."""
    if options["no_inherit"] and options["inherit_from"] is not None:
        message = "--no-inherit and --inherit-from exclude each other"
        raise click.UsageError(message)


def install_options(function: _F) -> _F:
    """Let a command say whether OCM may install what is missing."""
    for option in (
        click.option("--no-install", is_flag=True, help="Install nothing; fail where something is missing."),
        click.option("--yes", is_flag=True, help="Install what is missing without asking."),
    ):
        function = option(function)
    return function


def this_host(ctx: click.Context) -> Host:
    """Return the host of this run."""
    from openclaw_ocm.system.host import current_host

    return current_host(os.environ, verbose=bool(ctx.obj and ctx.obj["verbose"]))


def open_context(
    ctx: click.Context,
    *,
    backend: BackendName | None = None,
    recover: bool = True,
) -> Context:
    """Return the context of this run.

    Operations that were cut off are finished or undone first, unless they are what is looked at (`recover`);
    with --dry-run they are told. `backend` is the one that the user asked for.
    """
    from openclaw_ocm.instances.context import make_context

    context = make_context(this_host(ctx), lambda _phase: None, wanted=backend)
    dry_run = bool(ctx.params.get("dry_run"))
    context = dataclasses.replace(context, command=in_words(ctx), dry_run=dry_run)
    if dry_run and recover:
        tell_interrupted(ctx)
        return context
    if recover:
        from openclaw_ocm.operations.planning.change import recover_all

        ctx.meta[_TOLD] = recover_all(context, debug=_is_debugging())
    for sentence in ctx.meta.get(_TOLD, ()):
        click.echo(f"ocm: {sentence}", err=True)
    return context


def but_told(ctx: click.Context, outcome: Outcome) -> Outcome:
    """Return an outcome for a person, who need not read again what `open_context` has said."""
    told = ctx.meta.get(_TOLD, ())
    return dataclasses.replace(outcome, notes=tuple(note for note in outcome.notes if note not in told))


def in_words(ctx: click.Context) -> str:
    """Return the command and the options that were given, without any value: one may be a secret."""
    typed = click.core.ParameterSource.COMMANDLINE
    words = [ctx.command_path.partition(" ")[2]]
    for option in ctx.command.params:
        name = option.name or ""
        if isinstance(option, click.Option) and ctx.get_parameter_source(name) is typed:
            off = option.secondary_opts if ctx.params.get(name) is False else ()
            words.append((off or option.opts)[-1])
    return " ".join(words)


def look(ctx: click.Context) -> Context:
    """Return what `open_context` does, for a command that only looks: that something was cut off is told."""
    tell_interrupted(ctx)
    return open_context(ctx, recover=False)


def tell_interrupted(ctx: click.Context) -> None:
    """Say of each change that was cut off that it is still to be mended: here, and in the answer in JSON."""
    from openclaw_ocm.cli.render.envelope import WARNINGS
    from openclaw_ocm.system.kept.journals import interrupted

    ctx.meta[WARNINGS] = interrupted(this_host(ctx).paths)
    for sentence in ctx.meta[WARNINGS]:
        click.echo(f"ocm: {sentence}", err=True)


def choose(context: Context, names: Sequence[InstanceName], *, everything: bool) -> tuple[InstanceName, ...]:
    """Return the instances that the user named, each once, or all of them; there must be either."""
    from openclaw_ocm.system.kept.names import instance_names

    if bool(names) == everything:
        message = "name one or more instances, or say --all"
        raise click.UsageError(message)
    return instance_names(context.host.paths) if everything else tuple(dict.fromkeys(names))


def run_each(  # noqa: PLR0913 - all but two have a default
    ctx: click.Context,
    items: Sequence[_I],
    operation: Callable[[Context, _I], Any],
    *,
    as_json: bool,
    context: Context | None = None,
    show: Callable[[Any], None] | None = None,
    jobs: int = 1,
) -> int:
    """Run an operation on each item, on `jobs` at once; print what became of each, return the exit code.

    An item need be no instance. `show` prints what the operation returns, where that is no `Outcome`.
    """
    attempts = attempt_each(
        context or open_context(ctx), items, operation, as_json=as_json, show=show, jobs=jobs
    )
    return conclude(ctx, attempts, as_json=as_json)


def attempt_each(  # noqa: PLR0913 - all but three have a default
    context: Context,
    items: Sequence[_I],
    operation: Callable[[Context, _I], Any],
    *,
    as_json: bool,
    show: Callable[[Any], None] | None = None,
    jobs: int = 1,
) -> Attempts:
    """Run an operation on each item, which need be no instance; print what became of each, in their order.

    With `as_json` nothing is printed yet. Interrupted, it ends what is under way and raises
    `KeyboardInterrupt`, unless something could not be undone: that is an error among the others.
    """
    from openclaw_ocm.cli.answers import Answers

    def attempt(item: _I, report: Callable[[str], None]) -> Any:  # noqa: ANN401 - as `operation`
        return operation(with_report(context, report), item)

    answers = Answers(items=tuple(dict.fromkeys(items)), silent=as_json, show=show)
    if min(jobs, len(answers.items)) > 1 and not _is_debugging():
        from openclaw_ocm.cli.crew import attempt_together

        attempt_together(answers, attempt, jobs=jobs, verbose=context.host.runner.verbose)
    else:
        attempt_in_turn(answers, attempt)
    return answers.results, answers.errors


def attempt_in_turn(answers: Answers, attempt: Callable[[_I, Callable[[str], None]], Any]) -> None:
    """Attempt one item after the other, in this process."""
    from openclaw_ocm.cli.progress import progress

    for item in answers.items:
        try:
            with progress(item) as report:
                result = attempt(item, report)
        except (BrokenPipeError, click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (OcmError, OSError) as refused:
            answers.failed(item, as_ocm_error(refused))
        except Exception as error:
            if _is_debugging():
                raise
            answers.failed(item, bug(error))
        else:
            answers.succeeded(item, result)
        answers.print_ready()


def at_once(context: Context, load: Load, asked: int | None) -> int:
    """Return on how many instances to work at once: as `asked`, or as the settings or the machine say."""
    from openclaw_ocm.operations.planning.jobs import jobs

    return jobs(context.host.paths, load, asked)


def _is_debugging() -> bool:
    """Tell whether a bug is to be raised anew, which it can be in this process alone."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.find_root().obj["debug"])


def conclude(ctx: click.Context, attempts: Attempts, *, as_json: bool) -> int:
    """Print the one answer in JSON, where it is wanted, and return the exit code."""
    from openclaw_ocm.cli.render.envelope import print_json

    results, errors = attempts
    if as_json:
        print_json(ctx.command_path.partition(" ")[2], results, errors)
    if not errors:
        return 0
    codes = {error.exit_code for _name, error in errors}
    for worst in (UNDO_INCOMPLETE, BUG):
        if worst in codes:
            return worst
    return SOME_FAILED if results else max(codes)


def with_report(context: Context, report: Callable[[str], None]) -> Context:
    """Return the context with another place where progress is told."""
    return dataclasses.replace(context, report=report)


def streams_are_terminals() -> bool:
    """Tell whether standard input and output both are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str, *, default: bool = False, answered_by: str = "--yes") -> None:
    """Ask on a terminal; raise `Invalid` where nobody can answer and `OcmError` where the answer is no."""
    if not sys.stdin.isatty():
        raise Invalid(question, hint=f"{answered_by} answers", code="not_confirmed")
    if not click.confirm(question, default=default, err=True):
        raise OcmError("nothing was done", code="not_confirmed")


def read_secret(prompt: str) -> str:
    """Return a secret from standard input, on a terminal from a prompt without echo; raise `Invalid`."""
    from openclaw_ocm.core.secrets import MAX_VALUE, parse_value

    if sys.stdin.isatty():
        return parse_value(click.prompt(prompt, hide_input=True, err=True, default="", show_default=False))
    # As far as it can be a secret.
    return parse_value(sys.stdin.buffer.read(MAX_VALUE + 3).decode("utf-8", "surrogateescape"))
