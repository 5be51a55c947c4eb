"""Loader: HTTP requests over kept connections, as fast as the server answers, in a process of its own.

    python -I -S loader.py    (one JSON line on stdin; one on stdout: how many, in how many seconds)

It shares the machine's cores with what it measures, so it is as little as it can be: sockets,
epoll, bytes that are ready made. Nothing is imported that takes time to start.
"""

import json
import select
import socket
import sys
import time


class Client:
    """One connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def is_answered(self) -> bool:
        """Reads what is there; whether the answer is whole. Anything but 200 is an error of the bench."""
        piece = self.socket.recv(1 << 18)
        got = self.got = self.got + piece if self.got else piece
        head = got.find(b"\r\n\r\n")
        if head < 0:
            if not piece:
                raise SystemExit("the server closed a connection")
            return False
        if not got.startswith(b"HTTP/1.1 200"):
            raise SystemExit(got.decode("latin-1"))
        at = got.find(b"ontent-length: ", 0, head)
        at = at if at >= 0 else got.find(b"ontent-Length: ", 0, head)
        whole = head + 4 + int(got[at + 15 : got.index(b"\r\n", at)])
        if len(got) < whole:
            return False
        self.got = b""
        return True


def run(port: int, requests: list[bytes], count: int, seconds: float) -> tuple[int, float]:
    clients = [Client(port) for _ in range(count)]
    by_number = {client.socket.fileno(): client for client in clients}
    waiting = select.epoll()
    for number in by_number:
        waiting.register(number, select.EPOLLIN)
    done, kinds = 0, len(requests)
    began = time.perf_counter()
    end = began + seconds
    for place, client in enumerate(clients):
        client.socket.sendall(requests[place % kinds])
    sent = count
    while True:
        for number, _ in waiting.poll(5):
            client = by_number[number]
            if client.is_answered():
                done += 1
                client.socket.sendall(requests[sent % kinds])
                sent += 1
        now = time.perf_counter()
        if now >= end and done >= count:
            return done, now - began


def main() -> None:
    told = json.loads(sys.stdin.readline())
    requests = [text.encode("latin-1") for text in told["requests"]]
    done, took = run(told["port"], requests, told["clients"], told["seconds"])
    sys.stdout.write(json.dumps({"done": done, "seconds": took}) + "\n")


if __name__ == "__main__":
    main()
