"""A token is a secret that is kept as its digest."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from fairlead.tokens import Token, digest_of, holds, id_of, make_secret


def test_the_digest_is_sha_256():
    # The example of FIPS 180-2, appendix B.1.
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_secret_has_256_random_bits_and_says_its_id():
    made = [make_secret() for _ in range(200)]
    assert len({token for token, _ in made}) == len({identity for _, identity in made}) == 200
    for token, identity in made:
        prefix, shown, secret = token.split("_", 2)
        assert (prefix, shown) == ("fl", identity) == ("fl", id_of(token))
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32


@given(st.text(max_size=200))
def test_whatever_is_sent_has_an_id_or_none_and_holds_for_no_other_token(text):
    token, identity = make_secret()
    assert id_of(text) != identity
    assert not holds(digest_of(token), text)
    assert holds(digest_of(token), token)


def test_admin_has_every_scope_and_others_have_their_own():
    def token(*scopes):
        return Token(1, "a", "a", "", scopes)

    assert all(token("admin").allows(scope) for scope in ("predict", "feedback", "read", "deploy", "admin"))
    assert token("predict", "read").allows("read")
    assert not token("predict", "read").allows("deploy")
    assert not token("deploy").allows("admin")
