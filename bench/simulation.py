"""A day of 1,000 integrations and 1,000,000 shipments at the platforms' real limits, second by second. No network.

What is assumed stands in SHARES; what was measured (bench/sending.py, bench/twelve.py) in ONE_PROCESS and RATES.
"""

from __future__ import annotations

from collections import Counter

from common import finish, row

INTEGRATIONS, A_DAY = 1000, 1_000_000
ONE_PROCESS = 500.0  # shipments a second that one process was measured to forward, 64 in flight, rounded down
DEADLINE = 20 * 60  # seconds a run lasts at most; `sweep --if-due` every ten minutes takes the rest
SLOTS = [9.5, 13.5, 16.5, 23.5]
# Every second integration waits for an order status; the others send as parcels are created, 8 to 18 o'clock.

# Shipments a second and account: its declared limit through the calls of each; or, where the answers' time decides, four
# at a time with 300 ms a call. Shopify's is a guess on the low side.
RATES = {
    "allegro": 3.8, "ebay": 0.34, "amazon": 1.9, "etsy": 4.8, "empik": 9.5, "erli": 3.2, "bigcommerce": 1.3,
    "woocommerce": 5.7, "prestashop": 5.7, "magento": 10.7, "shopware": 5.7, "shopify": 1.0,
}  # fmt: skip
SHARES = {
    "allegro": 0.3, "ebay": 0.05, "amazon": 0.1, "etsy": 0.04, "empik": 0.04, "erli": 0.06, "bigcommerce": 0.01,
    "woocommerce": 0.15, "prestashop": 0.1, "magento": 0.03, "shopware": 0.02, "shopify": 0.1,
}  # fmt: skip


def accounts() -> list[tuple[str, int, bool]]:
    """(platform, shipments a day, waits for a status): sizes as in the world, a few large ones and a long tail."""
    names = [name for name, share in SHARES.items() for _ in range(round(share * INTEGRATIONS))]
    order = sorted(range(len(names)), key=lambda n: n * 7919 % len(names))  # mixed, the same each time
    weights = [1 / (rank + 10) for rank in range(len(names))]  # the largest has 2 % of all
    whole = sum(weights)
    return [
        (names[n], round(A_DAY * weight / whole), rank % 2 == 0)
        for rank, (n, weight) in enumerate(zip(order, weights, strict=True))
    ]


def main() -> list[dict[str, str]]:
    all_of_them = accounts()
    waiting = [0.0] * len(all_of_them)
    late: Counter[str] = Counter()  # parcels that were still waiting an hour after they became due
    slowest: dict[str, float] = {}
    busiest = busy = forwarded = 0.0
    slots = {int(at * 3600) for at in SLOTS}
    begun = [0.0] * len(all_of_them)
    for now in range(8 * 3600, 32 * 3600):
        for n, (_, a_day, by_status) in enumerate(all_of_them):
            if by_status and now % 86400 in slots:
                waiting[n] += a_day / len(SLOTS)
                begun[n] = now
            elif not by_status and 8 * 3600 <= now < 18 * 3600:
                if not waiting[n]:
                    begun[n] = now
                waiting[n] += a_day / 36000
        left, wanted = ONE_PROCESS, 0.0
        for n, (name, _, _) in enumerate(all_of_them):
            if waiting[n]:
                sent = min(waiting[n], RATES[name], left)
                wanted += min(waiting[n], RATES[name])
                left -= sent
                forwarded += sent
                waiting[n] = waiting[n] - sent if waiting[n] - sent > 1e-9 else 0.0
                if not waiting[n] and begun[n]:
                    slowest[name] = max(slowest.get(name, 0.0), now - begun[n])
                if now - begun[n] == 3600:
                    late[name] += round(waiting[n])
        busiest, busy = max(busiest, wanted), busy + (ONE_PROCESS - left) / ONE_PROCESS
    print(
        f"{len(all_of_them)} integrations, {sum(one[1] for one in all_of_them):,} shipments a day; {forwarded:,.0f} sent"
    )
    print(f"busiest second: {busiest:,.0f} shipments could leave, one process sends {ONE_PROCESS:,.0f}")
    print(f"one process is busy {busy / 864:.1f} % of the day")
    print("until the last parcel of a slot has gone, minutes, the slowest account of each platform:")
    print("  " + ", ".join(f"{name} {slowest[name] / 60:.0f}" for name in sorted(slowest, key=lambda n: -slowest[n])))
    print(f"still waiting an hour after a slot: {sum(late.values()):,} ({dict(late)})")
    return [
        row("a day of 1,000 integrations, simulated", f"one process busy {busy / 864:.1f} % of it"),
        row("still waiting an hour after a slot", f"{sum(late.values()):,} of {A_DAY:,}"),
    ]


if __name__ == "__main__":
    finish(main())
