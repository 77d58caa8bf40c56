"""Transfers through everything that goes wrong: they end, in the right bytes or a clear error, and
leave nothing behind.

One client process makes all transfers (driver.c), against nodes and a satellite that misbehave by
plan (faulty_node.c, faulty_satellite.c) behind links that stall and break (proxy.py).  About 120
transfers; 1,000 with ACRE_FULL=1, which scripts/test --full sets.
"""
import os
import time

from conftest import SLOW
from faults import Faults, process_stats, wait_until

FULL = bool(os.environ.get("ACRE_FULL"))
TRANSFERS = int(os.environ.get("ACRE_FAULT_TRANSFERS", "1000" if FULL else "120"))
SEED = int(os.environ.get("ACRE_FAULT_SEED", "1"))
NODES = 12
SMALL, MIDDLE, LARGE, HUGE = (0, 4096), (20_000, 900_000), (1_000_000, 4_000_000), (5_000_000, 9_000_000)
SIZES = [SMALL, MIDDLE, MIDDLE, LARGE]
REMOTE = [MIDDLE, LARGE]  # nothing that stays at the satellite

# Faults of an upload and a download that a node can have; sums stay below 100.
UPLOAD = ("refuse", "stall", "pause", "truncate", "die", "exit", "silent", "late", "forge", "other", "empty")
DOWNLOAD = ("refuse", "missing", "stall", "truncate", "die", "exit", "pause", "drip", "wrong", "garbage", "overrun",
            "empty", "flood", "bulk", "text")


class Rounds:
    """Each method is a round: it sets the faults and says how its transfers must go."""

    def __init__(self, faults):
        self.f = faults

    def honest(self, n):
        assert self.f.transfers(n, SIZES) == 0

    def few_nodes_stall(self, n):
        """Nine honest nodes of twelve take every upload, so all must go well."""
        self.f.plan(self.f.names[:3], "up.stall 40", "up.pause 30", "up.silent 30", "down.stall 50", "down.pause 50")
        assert self.f.transfers(n, REMOTE) == 0

    def few_nodes_break(self, n):
        self.f.plan(self.f.names[2:5], *(f"up.{x} 14" for x in ("refuse", "truncate", "die", "forge", "other", "empty")),
                    *(f"down.{x} 9" for x in DOWNLOAD if x not in ("stall", "pause", "drip", "exit", "wrong")))
        assert self.f.transfers(n, REMOTE) == 0

    def nodes_die(self, n):
        """Whole processes, in mid-segment; what is restarted serves what it acknowledged."""
        self.f.plan(self.f.names, "up.exit 4", "down.exit 8")
        self.f.transfers(n, REMOTE, restarting=True)

    def wrong_shares(self, n):
        """One node in twelve lies in every download: found and worked around each time."""
        self.f.plan(self.f.names[5:6], "down.wrong 100")
        assert self.f.transfers(n, REMOTE, downloads=0.8) == 0

    def late_answers(self, n):
        """Every node answers some uploads when the renter has cut them off."""
        self.f.plan(self.f.names, "up.late 30 1200")
        assert self.f.transfers(n, REMOTE, downloads=0.2) == 0

    def all_nodes_somewhat(self, n):
        self.f.plan(self.f.names, *(f"up.{x} 1" for x in UPLOAD), *(f"down.{x} 2" for x in DOWNLOAD))
        self.f.transfers(n, REMOTE, multipart=0.2, restarting=True)

    def satellite(self, n):
        self.f.plan(["satellite"], "ask.deaf 3", "ask.refuse 3", "ask.die 3", "answer.mute 3", "answer.slow 10 1500",
                    "answer.refuse 3", "answer.die 3", "answer.garbage 3", "answer.bomb 3", "answer.wide 3",
                    "answer.long 3")
        self.f.transfers(n, [SMALL, SMALL, MIDDLE, LARGE], multipart=0.2)

    def satellite_dies(self, n):
        self.f.plan(["satellite"], "ask.exit 4", "answer.exit 4")
        self.f.transfers(n, [SMALL, MIDDLE, MIDDLE], restarting=True)

    def links_cut(self, n):
        """All links break every ten seconds; an upload of some MiB lasts some seconds of them."""
        for link in self.f.links.values():
            link.cut, link.rate = 10.0, 100_000
        for _ in range(5):  # how many it takes to meet a cut depends on the sizes that the seed gives
            self.f.transfers(n, [LARGE, HUGE], parallel=4)
            if sum(link.cuts for link in self.f.links.values()) >= len(self.f.links):
                return
        raise AssertionError("no link was cut in a transfer")

    def links_stall(self, n):
        for i, link in enumerate(self.f.links.values()):
            link.part, link.delay = 0.3, 0.005
            if i % 2:
                link.stall = 60_000
            else:
                link.truncate = 90_000
        self.f.transfers(n, SIZES)


ROUNDS = (  # share of the transfers
    ("few_nodes_stall", 8), ("few_nodes_break", 14), ("nodes_die", 10), ("wrong_shares", 12), ("late_answers", 6),
    ("all_nodes_somewhat", 16), ("satellite", 14), ("satellite_dies", 6), ("links_cut", 6), ("links_stall", 8))


def peers(faults):
    return {name: process_stats(faults.net.pid(name)) for name in ["satellite", *faults.names]}


def test_faults(tmp_path):
    faults = Faults(tmp_path, NODES, SEED)
    rounds = Rounds(faults)
    try:
        faults.up()
        rounds.honest(16)
        faults.driver.open(faults.grant)
        before = faults.driver.stats()
        total = sum(share for _, share in ROUNDS)
        for name, share in ROUNDS:
            n, begun = max(3, TRANSFERS * share // total), time.monotonic()
            faults.injected()
            getattr(rounds, name)(n)
            faults.heal()
            stats = faults.driver.stats()
            print(f"{name}: {n} in {time.monotonic() - begun:.0f} s, {faults.results}, {faults.injected()}, {stats}",
                  flush=True)
        assert faults.results["ok"] > TRANSFERS // 2

        faults.driver.open(faults.grant)
        after = faults.driver.stats()
        assert after["fds"] <= before["fds"] and after["threads"] <= before["threads"], (before, after)
        assert after["heap"] < before["heap"] + 256, (before, after)
        assert SLOW > 1 or after["rss"] < before["rss"] + (8 << 10), (before, after)
        objects = faults.check_objects()
        assert os.listdir(faults.driver.temp) == [], "temporary files are left"
        faults.driver.end()
        # Peers let go of everything, too: what they hold now follows from themselves alone.
        wait_until("peers without connections", lambda: all(
            p["fds"] < 60 for p in peers(faults).values()), 40)
        faults.net.down()
        pieces, unknown = faults.check_pieces()
        print(f"{objects} objects; {pieces} pieces on nodes, {unknown} of them of uploads that did not end")
    finally:
        print("\n".join(faults.errors))
        faults.down()
