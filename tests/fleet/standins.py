"""Stand-ins for the server programs of Kubernetes 1.5.2, which cannot be built here: what `lab up --programs` packs.

They read the flags and kubeconfigs of the real ones, and talk to each other and to a real etcd as those do: with
client certificates where they are given them, over plain HTTP otherwise. So a gate holds only if the files of all of
them fit together. They run no pods.
"""

from __future__ import annotations

from pathlib import Path

VERSION = "1.5.2"
_NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
# By way of sh: rpm would have the packages require the /usr/bin/python3 of a package, and the hosts have Debian's.
_PROGRAM = r"""#!/bin/sh
''''exec /usr/bin/python3 "$0" "$@" # '''
import http.server, json, os, re, socket, ssl, sys, threading, time, urllib.error, urllib.parse, urllib.request
from datetime import datetime, timezone

name = os.path.basename(sys.argv[0])
if "--version" in sys.argv:
    sys.exit(print("Kubernetes v1.5.2"))
flags = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))


def ask(url, ca, cert, key, **more):
    context = None
    if url.startswith("https"):
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(cert, key)
    with urllib.request.urlopen(urllib.request.Request(url, **more), timeout=5, context=context) as answer:
        return answer.read()


def store(path, value=None):  # in etcd; without a value, what is there
    place = flags["etcd-servers"].split(",")[0] + "/v2/keys/registry" + path
    files = [flags.get("etcd-" + file) for file in ("cafile", "certfile", "keyfile")]
    if value is None:
        return json.loads(ask(place, *files))["node"]["value"].encode()
    ask(place, *files, method="PUT", data=urllib.parse.urlencode({"value": value.decode()}).encode())
    return b"{}"


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path == "/healthz":
                store("/healthz", b"ok")
            self.reply(200, store(self.path))
        except urllib.error.HTTPError as error:
            self.reply(error.code, b"{}")

    def do_PUT(self):
        self.reply(200, store(self.path, self.rfile.read(int(self.headers["Content-Length"]))))

    def reply(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if healthy else 500)
        self.end_headers()
        self.wfile.write(b"ok")


def serve(address, port, handler, context=None):
    server = http.server.ThreadingHTTPServer((address, int(port)), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()


def now():
    return datetime.now(timezone.utc).isoformat()


def lease():
    held = json.dumps({"holderIdentity": socket.gethostname(), "renewTime": now()})
    return {"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": held}}}


def node():
    return {"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": now()}]}}


if name == "kube-apiserver":
    port = flags.get("insecure-port") or flags.get("port", "8080")
    serve(flags.get("insecure-bind-address", "127.0.0.1"), port, Api)
    if "tls-cert-file" in flags:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=flags["client-ca-file"])
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])
        serve("0.0.0.0", flags.get("secure-port", "6443"), Api, context)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    while True:
        time.sleep(60)

healthy = False
endpoints = "/api/v1/namespaces/kube-system/endpoints/"
port, path, content = {
    "kube-controller-manager": (10252, endpoints + name, lease),
    "kube-scheduler": (10251, endpoints + name, lease),
    "kubelet": (10248, "/api/v1/nodes/" + flags.get("hostname-override", ""), node),
    "kube-proxy": (10249, "/healthz", None),
}[name]
serve("127.0.0.1", port, Health)
if flags.get("kubeconfig"):
    text = open(flags["kubeconfig"]).read()
    keys = ("server", "certificate-authority", "client-certificate", "client-key")
    api, *files = (re.search(key + ": (.*)", text)[1] for key in keys)
else:
    api, *files = flags.get("api-servers") or flags["master"], None, None, None
while True:
    try:
        if content:
            ask(api + path, *files, method="PUT", data=json.dumps(content()).encode())
        else:
            ask(api + path, *files)
        healthy = True
    except OSError as error:
        healthy = False
        print(error, file=sys.stderr, flush=True)
    time.sleep(0.5)
"""


def programs(folder: Path) -> Path:
    """A folder with the programs, for `lab up --programs`."""
    folder.mkdir()
    for name in _NAMES:
        (folder / name).write_text(_PROGRAM)
        (folder / name).chmod(0o755)
    return folder
