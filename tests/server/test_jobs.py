"""Places: as many as there are, for each key no more than its own, and when the next one comes free."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from dimts.server.errors import ApiError
from dimts.server.jobs import RequestPool, SpeechJob
from dimts.server.settings import ServeSettings


def refusal(pool: RequestPool, owner: str = "") -> ApiError:
    with pytest.raises(ApiError) as raised:
        pool.take(lambda job: iter(()), owner=owner)
    return raised.value


def test_places_are_counted_for_all_and_for_each_key() -> None:
    async def main() -> None:
        pool, go = RequestPool(ServeSettings(slots=2, queue=1), 2), threading.Event()

        def work(job: SpeechJob) -> Iterator[bytes]:
            go.wait(60)
            yield b"sound"

        jobs = [pool.take(work, owner="a"), pool.take(work, owner="a")]
        assert refusal(pool, "a").code == "key_places_taken"
        jobs.append(pool.take(work, owner="b"))
        assert (refusal(pool, "c").status, refusal(pool, "c").code) == (429, "queue_full")
        go.set()
        for job in jobs:
            assert [await job.next(), await job.next()] == [b"sound", None]
            job.leave()
        assert len(pool) == 0
        pool.take(work, owner="a").leave()
        pool.stop()
        assert (refusal(pool).status, refusal(pool).code) == (503, "shutting_down")
        pool.close()

    asyncio.run(main())


def test_the_wait_grows_with_the_shortest_text_at_work() -> None:
    async def main() -> None:
        pool, go = RequestPool(ServeSettings(slots=3, queue=0), 3), threading.Event()

        def work(job: SpeechJob) -> Iterator[bytes]:
            go.wait(60)
            yield b""

        assert pool.seconds_until_free() == 1
        jobs = [pool.take(work, letters=20_000)]
        longest = pool.seconds_until_free()
        jobs.append(pool.take(work, letters=2_000))
        shorter = pool.seconds_until_free()
        assert longest > 5 * shorter > 5
        jobs.append(pool.take(work, letters=1))
        assert int(refusal(pool).headers["retry-after"]) == pool.seconds_until_free() == 1
        go.set()
        for job in jobs:
            job.leave()
        pool.close()

    asyncio.run(main())


def test_what_the_work_raises_comes_out_where_its_bytes_are_awaited() -> None:
    async def main() -> None:
        pool = RequestPool(ServeSettings(), 40)

        def work(job: SpeechJob) -> Iterator[bytes]:
            yield b"sound"
            raise ValueError("broken")

        job = pool.take(work)
        assert await job.next() == b"sound"
        with pytest.raises(ValueError, match="broken"):
            await job.next()
        job.leave()
        pool.close()

    asyncio.run(main())
