"""Keeps the sockets of three servers and starts each again when it ends, as systemd does with socket units.

  hold.py BIN USERS      on the executable BIN/nssbox; numbers of processes are in /run/pid.NAME
"""

import os
import socket
import sys
import time

BIN, USERS = sys.argv[1:]
SCRIPT = ["3", "nsssd-unix", "", "0", "nsssd-unix", "-d", USERS, ""]
SERVERS = {
    "nsss": ("/run/service/nsssd/s", ["ipcserver", "-c", "1000", "/run/service/nsssd/s", "nsssd-switch", *SCRIPT]),
    "nscd": ("/run/nscd/socket", ["nscd", *SCRIPT]),
    "userdb": ("/run/systemd/userdb/org.nssbox.Users", ["userdb", *SCRIPT]),
}


def start(name):
    """Starts a server on its socket; its number."""
    pid = os.fork()
    if pid == 0:
        path, command = SERVERS[name]
        os.dup2(LISTENERS[name].fileno(), 3)
        # Not by dup2: it may be this one already.
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), PATH=f"{BIN}:/usr/bin:/bin")
        os.execv(f"{BIN}/nssbox", ["nssbox", *command])
    with open(f"/run/pid.{name}", "w") as file:
        file.write(str(pid))
    STARTED[name] = time.monotonic()
    return pid


LISTENERS, STARTED = {}, {}
for server, (place, _) in SERVERS.items():
    os.makedirs(os.path.dirname(place), exist_ok=True)
    LISTENERS[server] = socket.socket(socket.AF_UNIX)
    LISTENERS[server].bind(place)
    LISTENERS[server].listen(4096)
RUNNING = {start(server): server for server in SERVERS}
while True:
    ended, _ = os.wait()
    if ended in RUNNING:
        server = RUNNING.pop(ended)
        if time.monotonic() - STARTED[server] < 1:
            time.sleep(1)
        RUNNING[start(server)] = server
