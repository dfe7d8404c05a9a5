"""A token's check takes the same way for every token that is wrong, so that its time tells nothing.

Three proofs. By structure: each attempt costs one digest and one `hmac.compare_digest`, counted. By source: nothing else
compares a digest. By measure: the medians of thousands of attempts, taken in turns so that a disturbed processor disturbs both,
differ by little; and a keyring that leaks is told apart by the same measure. A measure may be disturbed, so the best of several
counts, and the bound is generous: what an attacker could use, a missing digest, is twice as large.
"""

import ast
import hashlib
import hmac
import inspect
import random
import statistics
import time
from pathlib import Path

import pytest

import fairlead
from fairlead.serving.keys.keyring import Keyring
from fairlead.serving.keys.tokens_file import write_tokens
from fairlead.tokens import Token, TokenSet, digest_of, id_of, make_secret

SECRET, ID = make_secret()
STRANGER, STRANGER_ID = make_secret()

pytestmark = pytest.mark.alone


def changed(text, at):
    """The same text with another sign at one place."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


WRONG = {
    "its last sign": changed(SECRET, len(SECRET) - 1),
    "the first sign of its secret": changed(SECRET, len(f"fl_{ID}_")),
    "every sign": f"fl_{ID}_" + "A" * (len(SECRET) - len(f"fl_{ID}_")),
    "an id that nobody has": STRANGER,
    "an id that nobody has, with the right secret": SECRET.replace(ID, STRANGER_ID),
}


@pytest.fixture
def ring(tmp_path):
    write_tokens(tmp_path / "tokens.json", TokenSet(1, (Token(1, ID, "app", digest_of(SECRET), ("predict",)),)))
    made = Keyring(tmp_path / "tokens.json", tmp_path / "rates")
    made.look()
    return made


def shown(text):
    return f"Bearer {text}".encode()


@pytest.mark.parametrize("text", [*WRONG.values(), SECRET], ids=[*WRONG, "the token itself"])
def test_each_attempt_costs_one_digest_and_one_comparison(ring, monkeypatch, text):
    digests, compared = [], []

    def sha256(data):
        digests.append(data)
        return REAL_SHA256(data)

    def compare_digest(one, other):
        compared.append((len(one), len(other)))
        return REAL_COMPARE(one, other)

    monkeypatch.setattr(hashlib, "sha256", sha256)
    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    assert (ring.find(shown(text)) is not None) == (text == SECRET)
    assert digests == [text.encode()]
    assert compared == [(64, 64)], "both are whole digests, whatever was sent"


REAL_SHA256, REAL_COMPARE = hashlib.sha256, hmac.compare_digest


def test_nothing_else_compares_what_is_kept_of_a_token():
    """Every comparison by equality in the code that handles tokens, but for ids and schemes, which are no secrets."""
    folder = Path(inspect.getsourcefile(fairlead)).parent
    for path in [
        folder / "tokens.py",
        *sorted((folder / "serving" / "keys").glob("*.py")),
        folder / "registry/tokens.py",
    ]:
        found = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq | ast.In) for op in node.ops)
        ]
        assert not [text for text in found if "digest" in text or "secret" in text.lower()], path


class Leaky(Keyring):
    """As one writes it without thinking: an id that is unknown needs no digest."""

    def find(self, authorization):
        return super().find(authorization) if id_of(authorization.decode()[7:]) in self._tokens else None


def difference(ring, one, other, *, turns=1500):
    """By how much the medians of two attempts differ, as a share of the larger."""
    random_turns = random.Random(7)
    taken = {one: [], other: []}
    for _ in range(turns):
        pair = [one, other]
        random_turns.shuffle(pair)
        for authorization in pair:
            start = time.perf_counter_ns()
            ring.find(authorization)
            taken[authorization].append(time.perf_counter_ns() - start)
    first, second = (statistics.median(times) for times in taken.values())
    return abs(first - second) / max(first, second)


@pytest.mark.parametrize("text", list(WRONG.values())[1:], ids=list(WRONG)[1:])
def test_the_time_of_a_wrong_token_does_not_tell_what_was_wrong(ring, text):
    near = shown(WRONG["its last sign"])
    assert min(difference(ring, near, shown(text)) for _ in range(7)) < 0.2


def test_the_same_measure_sees_a_keyring_that_leaks(ring):
    leaky = Leaky.__new__(Leaky)
    leaky.__dict__.update(ring.__dict__)
    found = [difference(leaky, shown(WRONG["its last sign"]), shown(STRANGER)) for _ in range(7)]
    assert max(found) > 0.2
