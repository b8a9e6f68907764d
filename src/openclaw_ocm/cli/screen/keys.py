"""What a key does: to the screen, and to the instances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from openclaw_ocm.cli.screen.state import Leaving, Mode, Order, Question, State, Verb, found, moved, ordered

if TYPE_CHECKING:
    from openclaw_ocm.cli.screen.state import Doing

_KEYS = {
    "s": Verb.START,
    "x": Verb.STOP,
    "r": Verb.RESTART,
    "b": Verb.BACKUP,
    "c": Verb.CHECK,
}
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1}
_FAR = 10**6
_ENDS = {"home": -_FAR, "g": -_FAR, "end": _FAR, "G": _FAR}
_LEAVE, _LOOK = ("q", "ctrl+q"), ("space", "f5", "ctrl+l")
_PAGES = {"pageup": -1, "pagedown": 1}
_LONGEST_FIND = 63
INTERRUPT = "ctrl+c"


class What(str, Enum):
    """What is to be done beside the screen."""

    BEGIN = "begin"
    UNDO = "undo"
    UNDO_ALL = "undo all"
    LOOK = "look"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is to be done, and to which instance."""

    what: What
    name: str = ""
    verb: Verb | None = None


LEAVE = Effect(what=What.LEAVE)


def press(
    state: State, key: str, character: str | None = None, *, page: int = 10
) -> tuple[State, Effect | None]:
    """Return the screen after a key, and what is to be done. `page` is how many lines a page has."""
    state = replace(state, notice="") if state.leaving is Leaving.NO else state
    if key == INTERRUPT:
        return _interrupted(state)
    if state.leaving is not Leaving.NO:
        return _while_leaving(state, key)
    if state.question is not None:
        return _answered(state, state.question, key)
    return _in_mode(state, key, character, page)


def _in_mode(state: State, key: str, character: str | None, page: int) -> tuple[State, Effect | None]:
    match state.mode:
        case Mode.QUIT:
            return _quitting(state, key)
        case Mode.FIND:
            return _finding(state, key, character), None
        case Mode.HELP:
            return replace(state, mode=Mode.LIST), None
        case _:
            typed = character if character is not None and character.isprintable() else key
            return _command(state, "space" if typed == " " else typed, page)


def quit_question(state: State) -> str:
    """Return what is asked of who leaves while something goes on."""
    return f"Still going on: {going_on(state)}. w waits for it, u undoes it, any other key stays"


def going_on(state: State) -> str:
    """Return in words what goes on."""
    return ", ".join(f"{doing.verb.value} of {name}" for name, doing in state.doing.items())


def _interrupted(state: State) -> tuple[State, Effect | None]:
    """Ctrl-C leaves; where something goes on it asks first, and pressed again undoes that."""
    if state.mode is Mode.QUIT or state.leaving is not Leaving.NO:
        return _undo_and_leave(state)
    return _leave(state)


def _leave(state: State) -> tuple[State, Effect | None]:
    if not state.doing:
        return state, LEAVE
    return replace(state, mode=Mode.QUIT, question=None), None


def _undo_and_leave(state: State) -> tuple[State, Effect | None]:
    if not state.doing:
        return state, LEAVE
    return replace(state, leaving=Leaving.UNDOING, mode=Mode.LIST), Effect(what=What.UNDO_ALL)


def _quitting(state: State, key: str) -> tuple[State, Effect | None]:
    if key == "u":
        return _undo_and_leave(state)
    state = replace(state, mode=Mode.LIST)
    if key == "w":
        return (replace(state, leaving=Leaving.WAITING), None) if state.doing else (state, LEAVE)
    return state, None


def _while_leaving(state: State, key: str) -> tuple[State, Effect | None]:
    if key == "u":
        return _undo_and_leave(state)
    if key == "escape" and state.leaving is Leaving.WAITING:
        return replace(state, leaving=Leaving.NO), None
    return state, None


def _answered(state: State, question: Question, key: str) -> tuple[State, Effect | None]:
    state = replace(state, question=None)
    if key not in ("y", "Y"):
        return replace(state, notice="nothing was done"), None
    if question.undo:
        return state, Effect(what=What.UNDO, name=question.name, verb=question.verb)
    return _begin(state, question.verb, question.name)


def _finding(state: State, key: str, character: str | None) -> State:
    if key == "escape":
        return replace(found(state, ""), mode=Mode.LIST)
    if key in ("enter", "up", "down"):
        return replace(state, mode=Mode.LIST)
    if key == "backspace":
        return found(state, state.find[:-1])
    if character is not None and character.isprintable() and len(state.find) < _LONGEST_FIND:
        return found(state, state.find + character.lower())
    return state


def _command(state: State, key: str, page: int) -> tuple[State, Effect | None]:
    if key in _LEAVE:
        return _leave(state)
    if key in _LOOK:
        return state, Effect(what=What.LOOK)
    steps = _steps(key, page)
    if steps is not None:
        return _moved(state, steps), None
    shown = _showing(state, key)
    return _ask(state, key) if shown is None else (shown, None)


def _showing(state: State, key: str) -> State | None:
    """Return the screen after a key that has it show something else, None for another key."""
    match key:
        case "escape":
            return replace(state, mode=Mode.LIST) if state.mode is Mode.LOG else found(state, "")
        case "l" | "enter":
            mode = Mode.LIST if state.mode is Mode.LOG else Mode.LOG
            return replace(state, mode=mode, scrolled=0) if state.at is not None else state
        case "?" | "h" | "f1":
            return replace(state, mode=Mode.HELP)
        case "/":
            return replace(found(state, ""), mode=Mode.FIND)
        case "o":
            orders = list(Order)
            return ordered(state, orders[(orders.index(state.order) + 1) % len(orders)])
        case _:
            return None


def _steps(key: str, page: int) -> int | None:
    if key in _PAGES:
        return _PAGES[key] * max(page, 1)
    return {**_MOVES, **_ENDS}.get(key)


def _moved(state: State, steps: int) -> State:
    if state.mode is not Mode.LOG:
        return moved(state, steps)
    most = len(state.log.entries) if state.log is not None else 0
    return replace(state, scrolled=min(max(state.scrolled - steps, 0), most))


def _ask(state: State, key: str) -> tuple[State, Effect | None]:
    """Do what is asked for to the chosen instance, after a question where a wrong key would be dear."""
    name, at = state.chosen, state.at
    if name is None or at is None or (key not in _KEYS and key != "u"):
        return state, None
    doing = state.doing.get(name)
    if key == "u":
        if doing is None:
            return replace(state, notice=f"nothing goes on with {name} that could be undone"), None
        text = f"Undo the {doing.verb.value} of {name}?"
        return replace(state, question=Question(verb=doing.verb, name=name, text=text, undo=True)), None
    verb = _KEYS[key]
    if verb is Verb.STOP and (at.row.state == "draining" or (doing is not None and doing.verb is Verb.STOP)):
        verb = Verb.STOP_NOW
    if doing is not None and _has_to_wait(verb, doing):
        notice = f"{name}: one at a time, the {doing.verb.value} goes on; u undoes it"
        return replace(state, notice=notice), None
    asked = question_before(verb, name)
    if asked is None:
        return _begin(state, verb, name)
    return replace(state, question=Question(verb=verb, name=name, text=asked)), None


def question_before(verb: Verb, name: str) -> str | None:
    """Return what is asked before something is done, None where a wrong key does no harm."""
    match verb:
        case Verb.STOP:
            return f"Stop {name}? An agent at work may come to its end first, for five minutes at most."
        case Verb.STOP_NOW:
            return f"Cut off what {name} is at?"
        case Verb.RESTART:
            return f"Restart {name}? An agent at work may come to its end first."
        case Verb.CHECK:
            return f"Ask {name} something? This uses its model: two small turns."
        case _:
            return None


def _begin(state: State, verb: Verb, name: str) -> tuple[State, Effect | None]:
    doing = state.doing.get(name)
    if doing is not None and _has_to_wait(verb, doing):
        return replace(state, notice=f"{name}: one at a time, the {doing.verb.value} goes on"), None
    return state, Effect(what=What.BEGIN, name=name, verb=verb)


def _has_to_wait(verb: Verb, doing: Doing) -> bool:
    """Tell whether something cannot be begun while that goes on; a stop alone can be cut short."""
    return (verb, doing.verb) != (Verb.STOP_NOW, Verb.STOP)
