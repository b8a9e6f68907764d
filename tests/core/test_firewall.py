from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core import firewall
from openclaw_ocm.core.firewall import ABSENT, INACTIVE, Change, Firewall, Rule
from openclaw_ocm.errors import Invalid

PORT = 19001
HEADING = "Added user rules (see 'ufw status' for running firewall):\n"
# What `ufw show added` printed on Debian 12 and Debian 13 alike (both have UFW 0.36.2).
PRINTED = (
    HEADING
    + """\
ufw deny from 10.0.0.66
ufw allow from 10.0.0.0/8 to any port 19001 proto tcp comment 'ocm:worker1'
ufw deny 19001/tcp comment 'ocm:worker1'
ufw allow 22/tcp
ufw limit 19021/tcp comment 'mine'
ufw deny log 19041/tcp comment 'ocm:w3'
ufw allow from 192.168.1.5 to any port 19061 proto tcp comment 'ocm:worker1'
ufw allow in on eth0 to any port 19001 proto tcp
ufw allow 19000:19100/tcp
ufw route allow in on eth0 out on eth1
ufw allow 19081
ufw allow from fd00::/8 to any port 19001 proto tcp
"""
)


def rule(action: str, source: str = "any", port: int = PORT) -> Rule:
    return Rule(action=action, source=source, port=port)


def seen(*lines: str, active: bool = True, accepts: bool = False) -> Firewall:
    text = HEADING + "".join(f"ufw {line}\n" for line in lines)
    return Firewall(active=active, accepts=accepts, rules=firewall.parse_added(text))


DENY = "deny 19001/tcp comment 'ocm:worker1'"
ALLOW = "allow from 10.0.0.0/8 to any port 19001 proto tcp comment 'ocm:worker1'"
ALLOW_ANY = "allow 19001/tcp comment 'ocm:worker1'"
TYPED = "sudo ufw prepend deny 19001/tcp comment ocm:worker1"
CLOSED = firewall.wanted_rules(PORT, ())
EXPOSED = firewall.wanted_rules(PORT, ("10.0.0.0/8",))
OPEN = firewall.wanted_rules(PORT, ("any",))


def test_rules_are_read_from_what_ufw_prints() -> None:
    found = firewall.parse_added(PRINTED)
    assert [line.text for line in found] == [
        line.removeprefix("ufw ") for line in PRINTED.splitlines() if line.startswith("ufw ")
    ]
    assert [(line.rule, line.instance) for line in found if line.rule is not None] == [
        (rule("allow", "10.0.0.0/8"), "worker1"),
        (rule("deny"), "worker1"),
        (rule("allow", port=22), None),
        (rule("limit", port=19021), None),
        (rule("deny log", port=19041), "w3"),
        (rule("allow", "192.168.1.5", 19061), "worker1"),
        (rule("allow", "fd00::/8"), None),
    ]


@pytest.mark.parametrize("text", ["", HEADING + "(None)\n", "Ajoutées\n(Aucune)\n"])
def test_without_rules_there_are_none_in_any_language(text: str) -> None:
    assert firewall.parse_added(text) == ()


@pytest.mark.parametrize(
    "comment", ["ocm", "ocm:", "mine", "ocm :worker1", "my ocm:worker1", "OCM:worker1", "ocm:worker1 "]
)
def test_a_comment_that_is_not_quite_ocms_is_somebody_elses(comment: str) -> None:
    (line,) = firewall.parse_added(f"ufw deny 19001/tcp comment '{comment}'\n")
    assert line.instance != "worker1"


def test_rules_of_a_name_on_another_port_are_not_the_instances() -> None:
    found = firewall.parse_added(PRINTED)
    assert firewall.own_rules(found, "worker1", PORT) == EXPOSED
    assert firewall.own_rules(found, "worker1", 19061) == (rule("allow", "192.168.1.5", 19061),)
    assert firewall.own_rules(found, "worker", PORT) == ()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.168.1.20", "192.168.1.20/32"),
        ("192.168.1.20/32", "192.168.1.20/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("any", "any"),
    ],
)
def test_a_source_is_kept_in_one_spelling(text: str, kept: str) -> None:
    assert firewall.parse_source(text) == kept
    assert firewall.parse_source(kept) == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no network"),
        ("everyone", "'everyone' is no network"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network"),
        ("10.0.0", "'10.0.0' is no network"),
        ("10.0.0.0/8 ", "is no network"),
        ("10.0.0.0/8\n", "is no network"),
        ("-h", "'-h' is no network"),
        ("ANY", "'ANY' is no network"),
        ("localhost", "is no network"),
        ("0.0.0.0/0", "0.0.0.0/0 is every machine"),
        ("192.168.1.20/24", "192.168.1.20/24 is an address within 192.168.1.0/24, not a network"),
        ("fd00::/8", "fd00::/8 cannot reach a gateway: OpenClaw listens beyond the loopback on IPv4 alone"),
        ("::/0", "IPv4 alone"),
    ],
)
def test_what_is_no_source_is_refused_in_one_sentence_with_a_hint(text: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        firewall.parse_source(text)
    assert words in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint


def test_an_address_within_a_network_is_answered_with_both_that_may_be_meant() -> None:
    with pytest.raises(Invalid) as caught:
        firewall.parse_source("192.168.1.20/24")
    assert caught.value.hint == "write 192.168.1.0/24 for the network, 192.168.1.20 for the one machine"


def test_an_exposure_names_each_network_once_and_nothing_beside_any() -> None:
    assert firewall.exposure(["10.0.0.0/8", "10.1.2.3", "10.0.0.0/8"]) == ("10.0.0.0/8", "10.1.2.3/32")
    assert firewall.exposure(["10.0.0.0/8", "any"]) == ("any",)
    assert firewall.exposure([]) == ()


def test_every_instance_is_denied_but_to_whom_it_is_exposed() -> None:
    assert (rule("deny"),) == CLOSED
    assert (rule("allow", "10.0.0.0/8"), rule("deny")) == EXPOSED
    assert (rule("allow"),) == OPEN
    assert firewall.wanted_rules(PORT, ("10.1.2.3/32",))[0] == rule("allow", "10.1.2.3")


@pytest.mark.parametrize(
    ("lines", "want", "typed"),
    [
        ((), CLOSED, ["prepend deny 19001/tcp"]),
        ((DENY,), CLOSED, []),
        ((DENY,), EXPOSED, ["prepend allow from 10.0.0.0/8 to any port 19001 proto tcp"]),
        (
            (),
            EXPOSED,
            ["prepend deny 19001/tcp", "prepend allow from 10.0.0.0/8 to any port 19001 proto tcp"],
        ),
        ((ALLOW, DENY), CLOSED, ["delete allow from 10.0.0.0/8 to any port 19001 proto tcp"]),
        ((DENY,), OPEN, ["delete deny 19001/tcp", "prepend allow 19001/tcp"]),
        ((ALLOW_ANY,), CLOSED, ["delete allow 19001/tcp", "prepend deny 19001/tcp"]),
        # Behind the deny it would be of no use.
        (
            (DENY, ALLOW),
            EXPOSED,
            [
                "delete allow from 10.0.0.0/8 to any port 19001 proto tcp",
                "prepend allow from 10.0.0.0/8 to any port 19001 proto tcp",
            ],
        ),
        (
            (ALLOW, DENY),
            (),
            ["delete allow from 10.0.0.0/8 to any port 19001 proto tcp", "delete deny 19001/tcp"],
        ),
        (("deny log 19001/tcp comment 'ocm:worker1'",), (), ["delete deny log 19001/tcp"]),
    ],
)
def test_a_change_is_the_commands_that_are_missing(
    lines: tuple[str, ...], want: tuple[Rule, ...], typed: list[str]
) -> None:
    change = firewall.difference(seen(*lines), "worker1", PORT, have=(), want=want)
    argvs = firewall.commands("worker1", change)
    assert [" ".join(argv[1:-2]) for argv in argvs] == typed
    assert all(argv[0] == "ufw" and argv[-2:] == ("comment", "ocm:worker1") for argv in argvs)


def test_what_cannot_be_read_may_be_as_the_record_said_or_not_be_there() -> None:
    unknown = Firewall(active=True)
    change = firewall.difference(unknown, "worker1", PORT, have=EXPOSED, want=CLOSED)
    assert change == Change(remove=(rule("allow", "10.0.0.0/8"),), add=CLOSED)
    removal = "sudo ufw delete allow from 10.0.0.0/8 to any port 19001 proto tcp comment ocm:worker1"
    assert firewall.by_hand("worker1", change) == f"{removal} && {TYPED}"
    change = firewall.difference(unknown, "worker1", PORT, have=CLOSED, want=EXPOSED)
    assert change == Change(add=EXPOSED[::-1])
    assert firewall.difference(unknown, "worker1", PORT, have=OPEN, want=OPEN) == Change()


@pytest.mark.parametrize("other", ["allow 19001/tcp", "limit 19001/tcp comment 'mine'", "deny log 19001/tcp"])
def test_a_rule_of_others_for_the_same_traffic_stays_and_is_told(other: str) -> None:
    there = seen("allow 22/tcp", other)
    change = firewall.difference(there, "worker1", PORT, have=(), want=CLOSED)
    assert change == Change(obstacles=(other,))
    (said,) = firewall.notes(there, "worker1", change, want=CLOSED)
    assert said == f"UFW has a rule that is not OCM's, and it stays: {other}"
    assert other in firewall.standing(there, "worker1", change, want=CLOSED)


class Ufw:
    """UFW's list of rules, with what its set_rule does for the commands that OCM gives it (0.36.2)."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def firewall(self) -> Firewall:
        return seen(*self.lines)

    def run(self, argv: tuple[str, ...]) -> None:
        _ufw, verb, *words, comment, tag = argv
        assert comment == "comment"
        text = " ".join(words)
        if verb == "delete":
            self.lines = [line for line in self.lines if line != f"{text} comment '{tag}'"]
        elif self.traffic(text) not in map(self.traffic, self.lines):
            assert verb == "prepend"
            self.lines = [f"{text} comment '{tag}'", *self.lines]

    @staticmethod
    def traffic(line: str) -> tuple[str, ...]:
        """Return a rule without its action and comment: UFW keeps one rule for it."""
        words = [word for word in shlex.split(line) if word not in ("log", "log-all")]
        return tuple(words[1 : words.index("comment")] if "comment" in words else words[1:])


SOURCES = ("10.0.0.0/8", "192.168.1.5/32", "172.16.0.0/12")
exposures = st.one_of(
    st.just(("any",)), st.lists(st.sampled_from(SOURCES), unique=True, max_size=3).map(tuple)
)
lines = st.builds(
    "{} {}{}".format,
    st.sampled_from(["allow", "deny", "reject", "limit", "deny log", "allow log-all"]),
    st.sampled_from(
        [
            *("19001/tcp", "19001", "19021/tcp", "22/tcp", "19000:19100/tcp", "19001/udp"),
            *(f"from {source.removesuffix('/32')} to any port 19001 proto tcp" for source in SOURCES),
            *(
                "from 10.0.0.0/8 to any port 19021 proto tcp",
                "from 10.0.0.66",
                "in on eth0 to any port 19001",
            ),
        ]
    ),
    st.sampled_from(
        ["", "", " comment 'mine'", " comment 'ocm:worker2'", " comment 'ocm:worker1'", " comment 'ocm:'"]
    ),
)


@given(
    there=st.lists(lines, max_size=8, unique_by=Ufw.traffic),
    wishes=st.lists(exposures, min_size=1, max_size=4),
)
def test_rules_of_others_are_never_touched(there: list[str], wishes: list[tuple[str, ...]]) -> None:
    ufw = Ufw(there)

    def others() -> list[str]:
        mine = firewall.own_rules(ufw.firewall().rules or (), "worker1", PORT)
        own = {f"{rule.describe()} comment 'ocm:worker1'" for rule in mine}
        return [line for line in ufw.lines if line not in own]

    before = others()
    for want in [*(firewall.wanted_rules(PORT, wish) for wish in wishes), ()]:
        change = firewall.difference(ufw.firewall(), "worker1", PORT, have=(), want=want)
        for argv in firewall.commands("worker1", change):
            ufw.run(argv)
        assert others() == before
        again = firewall.difference(ufw.firewall(), "worker1", PORT, have=(), want=want)
        assert firewall.commands("worker1", again) == ()
        own = firewall.own_rules(ufw.firewall().rules or (), "worker1", PORT)
        assert own == tuple(rule for rule in want if not blocked(rule, before))


def blocked(wanted: Rule, others: list[str]) -> bool:
    return Ufw.traffic(wanted.describe()) in map(Ufw.traffic, others)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("# ENABLED=no\nENABLED=yes\nLOGLEVEL=low\n", "yes"),
        ('ENABLED="no"\n', "no"),
        ("ENABLED=yes\nENABLED=no\n", "no"),
        ("NOT_ENABLED=yes\n", None),
        ("", None),
    ],
)
def test_a_setting_is_read_from_ufws_own_files(text: str, value: str | None) -> None:
    assert firewall.parse_setting(text, "ENABLED") == value


@pytest.mark.parametrize(
    ("there", "notes", "line"),
    [
        (Firewall(installed=False), [ABSENT], "UFW is not installed"),
        (seen(DENY), [], "deny 19001/tcp"),
        (seen(DENY, active=False), [INACTIVE], "deny 19001/tcp; UFW is inactive"),
        (
            seen(),
            [
                f"firewall rules of worker1 are pending, for they take root: {TYPED}",
            ],
            f"pending: {TYPED}",
        ),
        (
            Firewall(active=True),
            [
                f"firewall rules of worker1 are pending, for they take root: {TYPED}",
            ],
            f"unknown, not permitted to look; wanted: {TYPED}",
        ),
        (
            Firewall(active=True, problem="ERROR: broken"),
            [
                f"UFW does not tell its rules (ERROR: broken); for worker1 type: {TYPED}",
            ],
            f"unknown, UFW says: ERROR: broken; wanted: {TYPED}",
        ),
    ],
)
def test_how_the_rules_stand_is_said_plainly(there: Firewall, notes: list[str], line: str) -> None:
    change = firewall.difference(there, "worker1", PORT, have=(), want=CLOSED)
    assert list(firewall.notes(there, "worker1", change, want=CLOSED)) == notes
    assert firewall.standing(there, "worker1", change, want=CLOSED) == line


@pytest.mark.parametrize("there", [Firewall(installed=False), seen(active=False), seen()])
def test_an_instance_that_goes_without_a_rule_is_no_news(there: Firewall) -> None:
    change = firewall.difference(there, "worker1", PORT, have=(), want=())
    assert firewall.notes(there, "worker1", change, want=()) == ()


def test_rules_that_may_be_left_behind_are_told_with_the_command() -> None:
    change = firewall.difference(Firewall(), "worker1", PORT, have=CLOSED, want=())
    (said,) = firewall.notes(Firewall(), "worker1", change, want=())
    assert said.endswith(": sudo ufw delete deny 19001/tcp comment ocm:worker1")
    assert "if there are any, stay" in said


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (seen(), None),
        (seen(accepts=True), None),
        (Firewall(active=True), None),
        (
            Firewall(active=True, accepts=True),
            "UFW lets in what no rule is about, and to add a rule takes root",
        ),
        (seen(active=False), "UFW is inactive"),
        (Firewall(installed=False), "UFW is not installed"),
        (seen("allow 19001/tcp"), "UFW has a rule that is not OCM's: allow 19001/tcp"),
    ],
)
def test_where_ufw_would_not_keep_others_out_the_reason_is_told(there: Firewall, reason: str | None) -> None:
    change = firewall.difference(there, "worker1", PORT, have=CLOSED, want=EXPOSED)
    assert firewall.unlimited(there, change) == reason
