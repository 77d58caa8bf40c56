#!/usr/bin/env python3
"""A TCP proxy that makes a link bad, for putting between a client and satellite or nodes.

    proxy.py 127.0.0.1:7000 127.0.0.1:17000 [key=value ...]     e.g. cut=10 rate=2000000

A link's settings may change at any time (attributes of Link):
  cut       every so many seconds all connections are reset, in mid-byte
  rate      bytes per second and direction of each connection
  delay     seconds before each chunk
  stall     after so many bytes the connection carries nothing more, and stays open
  truncate  after so many bytes it is closed
  refuse    new connections are reset at once
Stalls and truncations hit the share of connections `part` (0 to 1), drawn from `seed`.
"""
import asyncio
import random
import socket
import struct
import sys
import threading
import time

CHUNK = 64 << 10
CUT_TICK = 0.05


def reset(writer):
    """RST instead of FIN: what a link does that breaks."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.transport.abort()


class Link:
    SETTINGS = dict(cut=0.0, rate=0, delay=0.0, stall=0, truncate=0, refuse=False, part=1.0)

    def __init__(self, listen, to, seed=1, **settings):
        self.listen, self.to = listen, to
        self.random = random.Random(seed)
        self.__dict__.update(self.SETTINGS)
        self.__dict__.update(settings)
        self.connections = set()
        self.cuts = self.stalls = self.truncations = 0
        self.bytes = 0

    def heal(self):
        self.__dict__.update(self.SETTINGS)

    async def serve(self):
        host, port = self.listen.rsplit(":", 1)
        self.server = await asyncio.start_server(self.accepted, host, int(port), limit=CHUNK)
        self.listen = "%s:%d" % self.server.sockets[0].getsockname()[:2]

    async def accepted(self, reader, writer):
        if self.refuse:
            reset(writer)
            return
        try:
            host, port = self.to.rsplit(":", 1)
            up_reader, up_writer = await asyncio.open_connection(host, int(port), limit=CHUNK)
        except OSError:
            reset(writer)
            return
        connection = (writer, up_writer)
        self.connections.add(connection)
        hit = self.random.random() < self.part
        both = [asyncio.ensure_future(self.pump(reader, up_writer, hit)),
                asyncio.ensure_future(self.pump(up_reader, writer, hit))]
        try:
            await asyncio.wait(both, return_when=asyncio.ALL_COMPLETED)
        finally:
            self.connections.discard(connection)
            for w in connection:
                w.transport.abort() if w.transport.is_closing() else w.close()

    async def pump(self, reader, writer, hit):
        passed = 0
        try:
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.rate:
                    await asyncio.sleep(len(data) / self.rate)
                passed += len(data)
                if hit and self.stall and passed > self.stall:
                    self.stalls += 1
                    while not writer.is_closing() and self.stall:
                        await asyncio.sleep(0.2)
                if hit and self.truncate and passed > self.truncate:
                    self.truncations += 1
                    break
                writer.write(data)
                self.bytes += len(data)
                await writer.drain()
        except OSError:
            reset(writer)
        finally:
            try:
                if writer.can_write_eof() and not writer.is_closing():
                    writer.write_eof()
            except OSError:
                pass

    def cut_now(self):
        self.cuts += 1
        for connection in list(self.connections):
            for writer in connection:
                reset(writer)


class Proxy:
    """Many links in one thread."""

    def __init__(self, links):
        self.links = links
        self.ready = threading.Event()
        self.loop = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        asyncio.run(self.main())

    async def main(self):
        self.loop, self.done = asyncio.get_running_loop(), asyncio.Event()
        self.loop.set_exception_handler(lambda loop, context: None)  # peers that went away
        for link in self.links:
            await link.serve()
        self.ready.set()
        last = {link: time.monotonic() for link in self.links}
        while not self.done.is_set():
            for link in self.links:
                if not link.cut:
                    last[link] = time.monotonic()
                elif time.monotonic() - last[link] >= link.cut:
                    last[link] = time.monotonic()
                    link.cut_now()
            try:
                await asyncio.wait_for(self.done.wait(), CUT_TICK)
            except TimeoutError:
                pass
            except asyncio.TimeoutError:  # another class before Python 3.11
                pass
        for link in self.links:
            link.server.close()
            link.cut_now()

    def start(self):
        self.thread.start()
        assert self.ready.wait(10), "the proxy does not start"
        return self

    def stop(self):
        if self.loop:
            self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join(10)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    settings = {k: float(v) for k, v in (word.split("=") for word in sys.argv[3:])}
    proxy = Proxy([Link(sys.argv[1], sys.argv[2], **settings)]).start()
    print(f"{sys.argv[1]} -> {sys.argv[2]} {settings}", flush=True)
    try:
        proxy.thread.join()
    except KeyboardInterrupt:
        proxy.stop()


if __name__ == "__main__":
    main()
