"""A lease ends with its holder, however that goes; nothing leaks and nothing is handed on dirty."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pool_support import Watched, eventually

from kernel_pool import (
    Backend,
    BaseSpec,
    KernelClosed,
    KernelPool,
    Lease,
    Limits,
    PoolClosed,
    ReadOnlyMount,
    Snapshot,
)
from kernel_pool.pool import MAX_IDLE
from kernel_pool.registry import backend


async def _nothing_left(pool: KernelPool, watched: Watched) -> None:
    await eventually(lambda: pool.stats().live == 0 and watched.live == 0 and pool.stats().waiting == 0)


async def test_release_is_idempotent_also_from_several_tasks(pool: KernelPool, state: Snapshot) -> None:
    lease = await pool.acquire(state)
    await asyncio.gather(*(lease.release() for _ in range(3)))
    await lease.release()
    leases = [await pool.acquire(state, timeout_s=3.0) for _ in range(2)]
    assert pool.stats().live == 2  # a place given back three times is one place
    await asyncio.gather(*(each.release() for each in leases))


async def test_a_released_kernel_is_out_of_its_holders_reach(pool: KernelPool, state: Snapshot) -> None:
    lease = await pool.acquire(state)
    kernel = lease.kernel
    await lease.release()
    assert lease.released
    assert not await kernel.healthy()
    for work in (
        kernel.run("true"),
        kernel.write("x", b""),
        kernel.read("x"),
        kernel.list(),
        kernel.snapshot(),
    ):
        with pytest.raises(KernelClosed):
            await work


async def test_a_cancelled_waiter_leaves_the_queue_to_the_others(pool: KernelPool, state: Snapshot) -> None:
    held = [await pool.acquire(state) for _ in range(2)]
    waiters = [asyncio.create_task(pool.acquire(state)) for _ in range(4)]
    await asyncio.sleep(0.02)
    for waiter in waiters[:3]:
        waiter.cancel()
    await asyncio.gather(*(lease.release() for lease in held))
    lease = await asyncio.wait_for(waiters[3], 3.0)
    assert (pool.stats().leased, pool.stats().waiting) == (1, 0)
    await lease.release()


async def test_cancelling_a_waiter_at_the_moment_it_is_served_loses_no_place(
    pool: KernelPool, state: Snapshot
) -> None:
    for turns in range(12):  # event-loop turns between the release and the cancellation
        held = await pool.fork(state, 2, timeout_s=3.0)
        waiter = asyncio.create_task(pool.acquire(state))
        await asyncio.sleep(0.005)
        releasing = asyncio.create_task(held[0].release())
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        served, _ = await asyncio.gather(waiter, releasing, return_exceptions=True)
        if isinstance(served, Lease):  # it was there before the cancellation
            await served.release()
        await held[1].release()
    await eventually(lambda: pool.stats().live == pool.stats().idle)
    for lease in await pool.fork(state, 2, timeout_s=3.0):
        await lease.release()


async def test_a_start_that_is_cancelled_keeps_its_place_until_its_kernel_is_closed(
    plain: Backend, state: Snapshot
) -> None:
    watched = Watched(plain, start_s=0.15)
    pool = KernelPool(watched, max_concurrent=1)
    starting = asyncio.create_task(pool.acquire(state))
    await asyncio.sleep(0.05)
    starting.cancel()
    async with asyncio.timeout(0.1):  # the caller does not wait for the start
        await asyncio.gather(starting, return_exceptions=True)
    await (await pool.acquire(state, timeout_s=3.0)).release()
    assert watched.peak == 1
    assert not await watched.kernels[0].healthy()
    await pool.close()
    assert watched.live == 0


async def test_cancelling_a_fork_releases_all_of_it(plain: Backend, state: Snapshot) -> None:
    for turns in (0, 1, 2, 3, 5, 50):
        watched = Watched(plain, start_s=0.02)
        pool = KernelPool(watched, max_concurrent=3)
        forking = asyncio.create_task(pool.fork(state, 3))
        for _ in range(turns):
            await asyncio.sleep(0)
        forking.cancel()
        await asyncio.gather(forking, return_exceptions=True)
        await _nothing_left(pool, watched)
        assert len(await pool.fork(state, 3, timeout_s=3.0)) == 3
        await pool.close()


async def test_cancelling_a_holder_closes_its_kernel(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, close_s=0.05)
    pool = KernelPool(watched, max_concurrent=1)

    async def hold() -> None:
        async with pool.lease(state) as kernel:
            await kernel.run("sleep 30")

    holder = asyncio.create_task(hold())
    await eventually(lambda: pool.stats().leased == 1)
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    assert watched.live == 0
    await pool.close()


async def test_a_release_goes_on_when_its_caller_is_cancelled(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, close_s=0.1)
    pool = KernelPool(watched, max_concurrent=1)
    lease = await pool.acquire(state)
    await lease.kernel.run("true")
    releasing = asyncio.create_task(lease.release())
    await asyncio.sleep(0.02)
    releasing.cancel()
    await asyncio.gather(releasing, return_exceptions=True)
    assert pool.stats().live == 1
    await _nothing_left(pool, watched)
    await pool.close()


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_a_task_that_ends_badly_gives_up_what_it_had_acquired(
    plain: Backend, state: Snapshot, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(plain)
    pool = KernelPool(watched, max_concurrent=1)
    kept: list[Lease] = []

    async def careless() -> None:
        kept.append(await pool.acquire(state))
        await kept[0].kernel.run("true")
        if how == "fails":
            raise RuntimeError("the holder's own mistake")
        await asyncio.sleep(30)

    task = asyncio.create_task(careless())
    await eventually(lambda: bool(kept))
    if how == "is cancelled":
        await asyncio.sleep(0.05)
        task.cancel()
    with caplog.at_level(logging.WARNING):
        await asyncio.gather(task, return_exceptions=True)
        await _nothing_left(pool, watched)
    assert kept[0].released
    assert pool.stats().abandoned == 1
    assert "never released" in caplog.text
    await pool.close()


async def test_a_lease_outlives_a_task_that_hands_it_on(pool: KernelPool, state: Snapshot) -> None:
    leases = await asyncio.gather(pool.acquire(state), pool.acquire(state))
    await asyncio.sleep(0.05)
    assert [(await lease.kernel.run("echo on")).stdout for lease in leases] == [b"on\n"] * 2
    await asyncio.gather(*(lease.release() for lease in leases))


async def test_a_lease_that_nobody_refers_to_ends(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain)
    pool = KernelPool(watched, max_concurrent=1)
    lease = await pool.acquire(state)
    await lease.kernel.run("true")
    del lease
    gc.collect()
    await (await pool.acquire(state, timeout_s=3.0)).release()
    assert pool.stats().abandoned == 1
    await pool.close()
    assert watched.live == 0


async def test_a_lease_that_its_task_returned_ends_when_it_is_dropped(
    pool: KernelPool, state: Snapshot
) -> None:
    leases = await asyncio.create_task(pool.fork(state, 2))
    await leases[0].kernel.run("true")
    del leases
    gc.collect()
    await eventually(lambda: pool.stats().leased == 0)


async def test_the_kernel_alone_keeps_its_lease(pool: KernelPool, state: Snapshot) -> None:
    kernel = (await pool.acquire(state)).kernel
    gc.collect()
    await asyncio.sleep(0.05)
    assert (await kernel.run("echo on")).stdout == b"on\n"
    await kernel.close()
    assert pool.stats().leased == 0


async def test_an_unused_kernel_is_handed_on(pool: KernelPool, state: Snapshot) -> None:
    async with pool.lease(state) as kernel:
        first = kernel.id
    async with pool.lease(state) as kernel:
        assert kernel.id == first
    assert (pool.stats().started, pool.stats().reused) == (1, 1)


async def test_of_unused_kernels_only_the_last_few_are_kept(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain)
    pool = KernelPool(watched, max_concurrent=20)
    for seconds in range(1, 13):  # requests that are never made again
        async with pool.lease(state, limits=Limits(wall_s=seconds)):
            pass
    await eventually(lambda: watched.live == pool.stats().live == pool.stats().idle == MAX_IDLE)
    async with pool.lease(state, limits=Limits(wall_s=12)):
        assert pool.stats().reused == 1
    await pool.close()
    assert watched.live == 0


@pytest.mark.parametrize("use", ["run", "write", "close"])
async def test_a_used_kernel_is_never_handed_on(pool: KernelPool, state: Snapshot, use: str) -> None:
    async with pool.lease(state) as kernel:
        first = kernel.id
        match use:
            case "run":
                await kernel.run("export SECRET=1; echo dirt > dirt")
            case "write":
                await kernel.write("dirt", b"")
            case "close":
                await kernel.close()
    async with pool.lease(state) as kernel:
        assert kernel.id != first
        assert [info.path for info in await kernel.list()] == []
        assert (await kernel.run("echo $SECRET")).stdout == b"\n"
    assert pool.stats().reused == 0


async def test_a_dead_kernel_is_not_handed_on(plain: Backend, state: Snapshot, tmp_path: Path) -> None:
    pool = KernelPool(plain, max_concurrent=1)
    async with pool.lease(state) as kernel:
        first = kernel.id
    assert pool.stats().idle == 1
    shutil.rmtree(tmp_path / "state" / "plain" / "kernels" / first)
    async with pool.lease(state, timeout_s=3.0) as kernel:
        assert kernel.id != first
        assert (await kernel.run("echo alive")).stdout == b"alive\n"
    await pool.close()


async def test_a_kernel_is_not_handed_on_to_a_different_request(
    plain: Backend, state: Snapshot, tmp_path: Path
) -> None:
    watched = Watched(plain)
    pool = KernelPool(watched, max_concurrent=1)
    async with pool.lease(state) as kernel:
        seen = {kernel.id}
    (tmp_path / "mounted").mkdir()
    for options in (
        {"limits": Limits(wall_s=9)},
        {"mounts": [ReadOnlyMount(tmp_path / "mounted", "/mnt/x")]},
    ):
        async with pool.lease(state, timeout_s=3.0, **options) as kernel:  # type: ignore[arg-type]
            assert kernel.id not in seen
            seen.add(kernel.id)
    assert watched.peak == 1  # an idle kernel makes room before another one is started
    await pool.close()


async def test_closing_sends_waiters_away_and_closes_what_lives(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, close_s=0.02)
    pool = KernelPool(watched, max_concurrent=2)
    used = await pool.acquire(state)
    await used.kernel.run("true")
    await (await pool.acquire(state)).release()  # idle
    busy = asyncio.create_task(used.kernel.run("sleep 30"))
    other = await pool.acquire(state)
    waiting = [asyncio.create_task(pool.acquire(state)) for _ in range(3)]
    await asyncio.sleep(0.05)
    await asyncio.gather(pool.close(), pool.close())
    assert watched.live == 0
    for waiter in waiting:
        with pytest.raises(PoolClosed):
            await waiter
    with pytest.raises(KernelClosed):
        await busy
    with pytest.raises(KernelClosed):
        await other.kernel.run("true")
    await used.release()
    await pool.close()


async def test_closing_waits_for_starts_in_flight_and_closes_them(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, start_s=0.15)
    pool = KernelPool(watched, max_concurrent=2)
    starting = [asyncio.create_task(pool.acquire(state)) for _ in range(2)]
    await asyncio.sleep(0.05)
    await pool.close()
    assert len(watched.kernels) == 2  # they did arrive
    assert watched.live == 0
    for task in starting:
        with pytest.raises(PoolClosed):
            await task


async def test_a_closed_pool_refuses_everything(plain: Backend, state: Snapshot) -> None:
    pool = KernelPool(plain, max_concurrent=1)
    await pool.close()
    for work in (pool.acquire(state), pool.fork(state, 1), pool.prepare(BaseSpec())):
        with pytest.raises(PoolClosed):
            await work
    with pytest.raises(PoolClosed):
        async with pool.lease(state):
            pass


_ACTIONS = st.lists(
    st.tuples(st.sampled_from(["use", "hold", "fork", "cancel", "late cancel", "crash"]), st.integers(0, 6)),
    min_size=1,
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=_ACTIONS, places=st.integers(1, 3))
def test_whatever_holders_do_the_bound_holds_and_nothing_is_left(
    tmp_path: Path, actions: list[tuple[str, int]], places: int
) -> None:
    asyncio.run(_do(tmp_path, actions, places))


async def _do(tmp_path: Path, actions: list[tuple[str, int]], places: int) -> None:
    plain = backend("subprocess", state_dir=tmp_path / "state", allow_unsandboxed=True)
    watched = Watched(plain, start_s=0.002, close_s=0.001)
    pool = KernelPool(watched, max_concurrent=places)
    state = await plain.prepare(BaseSpec())
    seen: set[str] = set()

    async def holder(action: str, pause: int) -> None:
        await asyncio.sleep(pause * 0.001)
        if action == "fork":
            for lease in await pool.fork(state, places):
                await lease.release()
            return
        async with pool.lease(state) as kernel:
            await asyncio.sleep(pause * 0.001)
            if action in ("use", "crash"):
                assert kernel.id not in seen
                seen.add(kernel.id)
                await kernel.write("dirt", b"")
            if action == "crash":
                raise RuntimeError("a holder's own mistake")

    tasks = [asyncio.create_task(holder(action, pause)) for action, pause in actions]
    for task, (action, pause) in zip(tasks, actions, strict=True):
        if "cancel" in action:
            await asyncio.sleep(pause * 0.0005 if action == "late cancel" else 0)
            task.cancel()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [r for r in results if isinstance(r, AssertionError)]
    assert watched.peak <= places
    async with asyncio.timeout(5):  # every place is there again
        for lease in await pool.fork(state, places):
            await lease.release()
    await pool.close()
    await plain.close()
    assert watched.live == 0
