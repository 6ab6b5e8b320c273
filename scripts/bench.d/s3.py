"""A plain client of an S3 server: what the server itself can do, with nothing in between.

    python3 s3.py ENDPOINT make BUCKET           makes a bucket
    python3 s3.py ENDPOINT size BUCKET           bytes of all objects
    python3 s3.py ENDPOINT get BUCKET DIR        every object into DIR, as 0, 1, 2, …
    python3 s3.py ENDPOINT put BUCKET DIR        every file of DIR as an object
    python3 s3.py ENDPOINT empty BUCKET          deletes every object

Eight connections at once, kept open; bodies are not signed. Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import os
import sys
import threading
import urllib.parse
import xml.etree.ElementTree

STREAMS = 8
PART = 1 << 20
connections = threading.local()


def signed(method, host, path, query):
    """Headers of a request, signed by the scheme of version 4 for region us-east-1."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join([method, path, query, lines, names, "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, digest])
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    who = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={who}, SignedHeaders={names}, Signature={signature}"
    return headers


def ask(endpoint, method, path, query=None, body=None, into=None):
    """One request; what came back, or written to a file."""
    host = urllib.parse.urlsplit(endpoint).netloc
    path = urllib.parse.quote(path, safe="/-_.~")
    pairs = sorted((query or {}).items())
    query = "&".join(f"{name}={urllib.parse.quote(value, safe='-_.~')}" for name, value in pairs)
    if not hasattr(connections, "open"):
        connections.open = http.client.HTTPConnection(host)
    headers = signed(method, host, path, query)
    connections.open.request(method, f"{path}?{query}" if query else path, body, headers)
    answer = connections.open.getresponse()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {answer.read()[:300]!r}")
    if into is None:
        return answer.read()
    with open(into, "wb") as file:
        while part := answer.read(PART):
            file.write(part)
    return b""


def listed(endpoint, bucket):
    """Names and sizes of all objects."""
    query = {"list-type": "2"}
    while True:
        page = xml.etree.ElementTree.fromstring(ask(endpoint, "GET", f"/{bucket}", query))
        space = page.tag[: page.tag.index("}") + 1] if "}" in page.tag else ""
        for found in page.iter(f"{space}Contents"):
            yield found.findtext(f"{space}Key"), int(found.findtext(f"{space}Size"))
        query["continuation-token"] = page.findtext(f"{space}NextContinuationToken") or ""
        if not query["continuation-token"]:
            return


def all_at_once(work, items):
    with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
        for _ in pool.map(work, items):
            pass


def main():
    endpoint, verb, bucket, *rest = sys.argv[1:]
    if verb == "make":
        ask(endpoint, "PUT", f"/{bucket}")
    elif verb == "size":
        print(sum(size for _, size in listed(endpoint, bucket)))
    elif verb == "get":
        names = [name for name, _ in listed(endpoint, bucket)]
        numbered = list(enumerate(names))
        all_at_once(lambda one: ask(endpoint, "GET", f"/{bucket}/{one[1]}", into=f"{rest[0]}/{one[0]}"), numbered)
    elif verb == "put":

        def put(name):
            with open(f"{rest[0]}/{name}", "rb") as file:
                ask(endpoint, "PUT", f"/{bucket}/{name}", body=file.read())

        all_at_once(put, os.listdir(rest[0]))
    elif verb == "empty":
        all_at_once(lambda name: ask(endpoint, "DELETE", f"/{bucket}/{name}"), [name for name, _ in listed(endpoint, bucket)])
    else:
        sys.exit(f"no such verb: {verb}")


main()
