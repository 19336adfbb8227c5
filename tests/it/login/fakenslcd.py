"""fakenslcd.py SOCKET: a daemon of nss-pam-ldapd's protocol that knows the users of standard input,
lines of /etc/passwd. As the real one does, it gives a hash to root alone, and closes at once where a
name is none by its option validnames. Prints a line when ready.
"""
import os
import re
import socket
import struct
import sys

VERSION, BY_NAME, BY_UID = 2, 0x80001, 0x80002
VALID = re.compile(r"[a-z0-9._@$()]([a-z0-9._@$() \\~-]*[a-z0-9._@$()~-])?", re.I)


def text(word):
    return struct.pack(">i", len(word)) + word.encode()


def entry(user, root):
    name, password, uid, gid, gecos, home, shell = user
    if not root and password not in ("", "x") and not password.startswith("!"):
        password = "*"
    numbers = struct.pack(">ii", int(uid), int(gid))
    return text(name) + text(password) + numbers + text(gecos) + text(home) + text(shell)


def answer(client, users):
    root = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] == 0
    version, action = struct.unpack(">ii", client.recv(8, socket.MSG_WAITALL))
    reply = struct.pack(">ii", VERSION, action)
    if action in (BY_NAME, BY_UID):
        at, key = 2, str(struct.unpack(">i", client.recv(4, socket.MSG_WAITALL))[0])
        if action == BY_NAME:
            at, key = 0, client.recv(int(key), socket.MSG_WAITALL).decode()
            if not VALID.fullmatch(key):
                return
        for user in users:
            if user[at] == key:
                reply += struct.pack(">i", 1) + entry(user, root)
    client.sendall(reply + struct.pack(">i", 2))


users = [line.rstrip("\n").split(":") for line in sys.stdin]
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen(64)
print(flush=True)
while True:
    client, _ = listener.accept()
    with client:
        try:
            answer(client, users)
        except (OSError, struct.error, ValueError) as e:
            print(e, file=sys.stderr)
