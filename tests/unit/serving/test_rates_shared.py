"""The rate of a token: compared with a bucket that fills drop by drop, which is how people think of it."""

from hypothesis import given
from hypothesis import strategies as st

from fairlead.serving.keys.rates import Rates, next_arrival


class Bucket:
    """The textbook: `burst` drops at most, `rate` drops a second flow in, a request takes one."""

    def __init__(self, rate, burst):
        self.rate, self.burst, self.level, self.time = rate, burst, burst, 0.0

    def take(self, now):
        self.level = min(self.burst, self.level + (now - self.time) * self.rate)
        self.time = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@given(
    rate=st.sampled_from([0.5, 1.0, 4.0, 16.0]),
    burst=st.integers(1, 8),
    # Sixteenths of a second and rates that are powers of two: the bucket's own sums are then exact.
    gaps=st.lists(st.integers(0, 64), max_size=60),
)
def test_the_same_requests_pass_as_with_a_bucket_of_drops(rate, burst, gaps):
    bucket, expected, now = Bucket(rate, burst), 0.0, 1000.0
    bucket.time = now
    for gap in gaps:
        now += gap / 16
        expected, wait = next_arrival(expected, now, rate, burst)
        assert (wait == 0) == bucket.take(now)


@given(rate=st.floats(0.01, 1e5), burst=st.integers(1, 100))
def test_who_waits_as_long_as_told_passes(rate, burst):
    expected, now = 0.0, 1000.0
    for _ in range(burst):
        expected, wait = next_arrival(expected, now, rate, burst)
        assert wait == 0
    expected, wait = next_arrival(expected, now, rate, burst)
    assert 0 < wait <= 1.001 / rate
    assert next_arrival(expected, now + wait, rate, burst)[1] == 0


def test_a_number_from_before_the_machines_last_start_does_not_lock_anybody_out():
    # The monotonic clock begins anew at each start of the machine; the file may be older.
    assert next_arrival(1e6, 5.0, 1.0, 3)[1] == 0


def test_two_processes_that_map_the_same_file_count_together(tmp_path):
    one, other = Rates(tmp_path / "run" / "rates"), Rates(tmp_path / "run" / "rates")
    one.make_room(3)
    other.make_room(3)
    assert one.take(3, 10.0, 1.0, 2) == 0
    assert other.take(3, 10.0, 1.0, 2) == 0
    assert one.take(3, 10.0, 1.0, 2) > 0
    assert other.take(2, 10.0, 1.0, 1) == 0, "another token has a number of its own"


def test_room_grows_with_the_tokens_and_what_was_counted_stays(tmp_path):
    rates = Rates(tmp_path / "rates")
    rates.make_room(1)
    rates.take(1, 10.0, 0.1, 1)
    rates.make_room(5000)
    assert rates.take(1, 10.0, 0.1, 1) > 0
    assert rates.take(5000, 10.0, 0.1, 1) == 0
