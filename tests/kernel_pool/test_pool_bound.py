"""At most max_concurrent kernels, ever; first come, first served."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pool_support import Watched, eventually

from kernel_pool import (
    Backend,
    BaseSpec,
    KernelError,
    KernelPool,
    KernelStartFailed,
    Lease,
    LeaseTimeout,
    LocalBound,
    PoolError,
    RunStep,
    Snapshot,
)
from kernel_pool.registry import backend


@pytest.mark.parametrize(("start_s", "close_s"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.03, 0.03)])
async def test_eight_acquires_at_once_never_make_more_than_two_kernels(
    plain: Backend, state: Snapshot, start_s: float, close_s: float
) -> None:
    watched = Watched(plain, start_s=start_s, close_s=close_s)
    pool = KernelPool(watched, max_concurrent=2)

    async def work() -> bytes:
        async with pool.lease(state) as kernel:
            return (await kernel.run("echo here")).stdout

    assert await asyncio.gather(*(work() for _ in range(8))) == [b"here\n"] * 8
    assert watched.peak == 2
    assert watched.live == 0
    assert (pool.stats().peak, pool.stats().live, pool.stats().leases) == (2, 0, 8)
    await pool.close()


async def test_the_bound_holds_over_real_sandboxes(tmp_path: Path) -> None:
    watched = Watched(backend("local", state_dir=tmp_path / "state", warm=()))
    pool = KernelPool(watched, max_concurrent=2)
    state = await pool.prepare(BaseSpec())

    async def work(number: int) -> bytes:
        async with pool.lease(state) as kernel:
            return (await kernel.run(f"cat left; echo {number} > left; cat left")).stdout

    assert await asyncio.gather(*(work(n) for n in range(8))) == [f"{n}\n".encode() for n in range(8)]
    assert watched.peak == 2
    await pool.close()
    await watched.close()
    assert watched.live == 0


async def test_places_are_given_in_the_order_of_asking(plain: Backend, state: Snapshot) -> None:
    pool = KernelPool(plain, max_concurrent=1)
    order: list[int] = []

    async def work(number: int) -> None:
        async with pool.lease(state) as kernel:
            order.append(number)
            await kernel.write("used", b"")

    await asyncio.gather(*(work(number) for number in range(8)))
    assert order == list(range(8))
    await pool.close()


async def test_a_newcomer_does_not_overtake_who_waits_when_a_place_becomes_free(
    plain: Backend, state: Snapshot
) -> None:
    pool = KernelPool(plain, max_concurrent=1)
    first = await pool.acquire(state)
    order: list[str] = []

    async def ask(name: str) -> Lease:
        lease = await pool.acquire(state)
        order.append(name)
        return lease

    waiter = asyncio.create_task(ask("waiter"))
    await asyncio.sleep(0)
    releasing = asyncio.create_task(first.release())
    newcomer = asyncio.create_task(ask("newcomer"))
    await releasing
    await (await waiter).release()
    await (await newcomer).release()
    assert order == ["waiter", "newcomer"]
    await pool.close()


async def test_waiting_ends_with_lease_timeout_and_leaves_no_trace(pool: KernelPool, state: Snapshot) -> None:
    held = [await pool.acquire(state) for _ in range(2)]
    started = time.monotonic()
    with pytest.raises(LeaseTimeout, match=r"within 0\.1 s"):
        await pool.acquire(state, timeout_s=0.1)
    assert 0.09 < time.monotonic() - started < 1.0
    await asyncio.gather(*(lease.release() for lease in held))
    assert pool.stats().waiting == 0
    assert len(await pool.fork(state, 2, timeout_s=3.0)) == 2  # both places are there


async def test_a_timeout_also_ends_waiting_for_a_slow_start(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, start_s=0.3)
    pool = KernelPool(watched, max_concurrent=1)
    with pytest.raises(LeaseTimeout):
        await pool.acquire(state, timeout_s=0.1)
    assert pool.stats().live == 1  # it is still being started, and counts
    await eventually(lambda: watched.live == 0)
    await (await pool.acquire(state, timeout_s=3.0)).release()
    await pool.close()


async def test_prepare_counts_as_a_kernel(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, start_s=0.05)
    pool = KernelPool(watched, max_concurrent=2)

    async def lease() -> None:
        async with pool.lease(state):
            await asyncio.sleep(0.02)

    specs = [BaseSpec(env={"N": str(number)}) for number in range(3)]
    await asyncio.gather(*(pool.prepare(spec) for spec in specs), *(lease() for _ in range(4)))
    assert watched.peak == 2
    await pool.close()
    assert watched.live == 0


async def test_equal_specs_prepared_at_once_are_built_once(plain: Backend) -> None:
    watched = Watched(plain, start_s=0.05)
    pool = KernelPool(watched, max_concurrent=4)
    snapshots = await asyncio.gather(*(pool.prepare(BaseSpec(env={"A": "1"})) for _ in range(5)))
    assert len(set(snapshots)) == 1
    assert watched.prepared == 1
    await pool.close()


async def test_one_cancelled_caller_does_not_take_the_preparation_from_the_others(plain: Backend) -> None:
    pool = KernelPool(Watched(plain, start_s=0.1), max_concurrent=1)
    spec = BaseSpec(env={"A": "1"})
    first, second = (asyncio.create_task(pool.prepare(spec)) for _ in range(2))
    await asyncio.sleep(0.03)
    first.cancel()
    assert (await second).backend == "subprocess"
    await pool.close()


async def test_a_preparation_that_nobody_waits_for_is_stopped_and_frees_its_place(plain: Backend) -> None:
    pool = KernelPool(plain, max_concurrent=1)
    slow = BaseSpec(steps=(RunStep("sleep 30"),))
    task = asyncio.create_task(pool.prepare(slow))
    await asyncio.sleep(0.2)
    task.cancel()
    assert await asyncio.wait_for(pool.prepare(BaseSpec()), 3.0)
    assert pool.stats().live == 0
    await pool.close()


async def test_a_failing_preparation_reaches_everybody_who_asked(pool: KernelPool) -> None:
    failing = BaseSpec(steps=(RunStep("echo broken; exit 3"),))
    results = await asyncio.gather(*(pool.prepare(failing) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, KernelError) and "broken" in str(result) for result in results)
    assert pool.stats().live == 0


async def test_a_fork_of_more_than_the_pool_may_hold_is_refused_at_once(
    pool: KernelPool, state: Snapshot
) -> None:
    held = await pool.acquire(state)  # it must not wait either
    with pytest.raises(PoolError, match="3 kernels at once are wanted, max_concurrent is 2"):
        await pool.fork(state, 3)
    await held.release()


async def test_a_fork_that_fails_in_part_releases_the_rest(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain)
    watched.failing = lambda number: number == 2
    pool = KernelPool(watched, max_concurrent=3)
    with pytest.raises(KernelStartFailed):
        await pool.fork(state, 3)
    await eventually(lambda: pool.stats().live == 0 and watched.live == 0)
    assert pool.stats().failed_starts == 1
    leases = await pool.fork(state, 3, timeout_s=3.0)
    assert len({lease.kernel.id for lease in leases}) == 3
    await pool.close()


async def test_two_forks_that_together_want_too_much_take_turns(plain: Backend, state: Snapshot) -> None:
    pool = KernelPool(plain, max_concurrent=3)

    async def use() -> None:
        leases = await pool.fork(state, 2)
        await asyncio.gather(*(lease.kernel.run("true") for lease in leases))
        await asyncio.gather(*(lease.release() for lease in leases))

    async with asyncio.timeout(10):
        await asyncio.gather(*(use() for _ in range(4)))
    assert pool.stats().peak <= 3
    await pool.close()


async def test_a_failed_start_frees_its_place(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain)
    watched.failing = lambda number: number <= 3
    pool = KernelPool(watched, max_concurrent=1)
    for _ in range(3):
        with pytest.raises(KernelStartFailed):
            await pool.acquire(state, timeout_s=3.0)
    await (await pool.acquire(state, timeout_s=3.0)).release()
    assert pool.stats().failed_starts == 3
    await pool.close()


async def test_pools_that_share_a_bound_keep_it_together(plain: Backend, state: Snapshot) -> None:
    watched = Watched(plain, start_s=0.02, close_s=0.02)
    bound = LocalBound(3)
    pools = [KernelPool(watched, max_concurrent=2, bound=bound) for _ in range(3)]

    async def work(pool: KernelPool, used: bool) -> None:
        async with pool.lease(state) as kernel:
            if used:
                await kernel.run("true")

    await asyncio.gather(*(work(pool, used) for pool in pools * 4 for used in (True, False)))
    assert watched.peak == 3
    assert all(pool.stats().peak <= 2 for pool in pools)
    await asyncio.gather(*(pool.close() for pool in pools))
    assert watched.live == 0


class _Remote(LocalBound):
    """A bound that answers a little later, as one in another process does."""

    async def acquire(self, timeout_s: float | None = None) -> object:
        await asyncio.sleep(0.005)
        return await super().acquire(timeout_s)


async def test_forks_of_pools_that_share_a_bound_do_not_lock_each_other(
    plain: Backend, state: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel_pool.places._PATIENCE_S", 0.05)
    bound = _Remote(2)
    pools = [KernelPool(plain, max_concurrent=2, bound=bound) for _ in range(2)]

    async def use(pool: KernelPool) -> None:
        for lease in await pool.fork(state, 2):
            await lease.release()

    async with asyncio.timeout(10):
        await asyncio.gather(*(use(pool) for pool in pools * 3))
    await asyncio.gather(*(pool.close() for pool in pools))


async def test_a_timeout_on_the_shared_bound_gives_the_own_place_back(
    plain: Backend, state: Snapshot
) -> None:
    bound = LocalBound(1)
    token = await bound.acquire()
    pool = KernelPool(plain, max_concurrent=1, bound=bound)
    with pytest.raises(LeaseTimeout):
        await pool.acquire(state, timeout_s=0.1)
    await bound.release(token)
    await (await pool.acquire(state, timeout_s=3.0)).release()
    await pool.close()
    assert bound.waiting == 0


def test_a_pool_without_places_is_refused(plain: Backend) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KernelPool(plain, max_concurrent=0)
