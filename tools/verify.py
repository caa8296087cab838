#!/usr/bin/env python3
"""Checks Attestry's evidence without any of Attestry's code: a data directory, an export, or a proof with its entry.

Written from docs/formats.md alone; section numbers are that page's. It needs Python 3.8 and, for sealed segments,
the `zstd` program. Exit code 0: clean, 1: damage, 2: could not check.
"""
import argparse, base64, hashlib, itertools, json, os, re, struct, subprocess, sys

NUMBER, TIME = "(0|[1-9][0-9]{0,19})", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
REQUIRED = ("event_id", "event_time", "received_at", "event_name", "username", "event_source", "source_ip_address")
NO_PIN = ("without a pin: that an older copy was put back, that the newest entries were cut off together with their "
          "checkpoint, or that key and checkpoint were replaced together")

class CannotCheck(Exception):
    """Neither clean nor damaged."""

def need(condition, what):
    if not condition:
        raise ValueError(what)
def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()
def listed(*path):
    return sorted(os.listdir(os.path.join(*path))) if os.path.isdir(os.path.join(*path)) else []

def sha256(data):
    return hashlib.sha256(data).digest()
def tree(subtrees):
    """Size and root of the tree (section 2) that complete subtrees, (level, root) from the left, make together."""
    stack, size = [], 0
    for level, root in subtrees:
        need(size % (1 << level) == 0, "a node of level %d cannot begin at entry %d" % (level, size))
        size += 1 << level
        while stack and stack[-1][0] == level:
            root, level = sha256(b"\1" + stack.pop()[1] + root), level + 1
        stack.append((level, root))
    root = stack.pop()[1] if stack else sha256(b"")
    while stack:
        root = sha256(b"\1" + stack.pop()[1] + root)
    return size, root

def inclusion_root(node, index, size, hashes):
    """The root that an inclusion proof, the leaf's sibling first, leads to (RFC 6962 section 2.1.1)."""
    need(index < size and bool(hashes) == (size > 1), "the proof does not fit its index and the tree's size")
    if size == 1:
        return node
    left = 1 << (size - 1).bit_length() - 1
    if index < left:
        return sha256(b"\1" + inclusion_root(node, index, left, hashes[:-1]) + hashes[-1])
    return sha256(b"\1" + hashes[-1] + inclusion_root(node, index - left, size - left, hashes[:-1]))

# Ed25519 (RFC 8032)
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
def point_add(a, b):
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x, y = a[0] * b[1] + a[1] * b[0], a[1] * b[1] + a[0] * b[0]
    return x * pow(1 + t, -1, P) % P, y * pow(1 - t, -1, P) % P
def point_times(n, point):
    half = point_times(n >> 1, point_add(point, point)) if n else (0, 1)
    return point_add(half, point) if n & 1 else half
def point_read(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x * pow(2, (P - 1) // 4, P) % P if (x * x - square) % P else x
    need(y < P and (x * x - square) % P == 0 and (x or not sign), "not a point of the curve")
    return P - x if x & 1 != sign else x, y
BASE = point_read((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
def need_signature(public, message, signature):
    need(len(signature) == 64, "a signature of another length")
    a, r, s = point_read(public), point_read(signature[:32]), int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    need(s < L and (0, 1) not in (point_times(8, a), point_times(8, r)), "a signature of small order")
    need(point_times(s, BASE) == point_add(r, point_times(h, a)), "the checkpoint's signature does not hold")

def unbase64(text, length=None):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text and length in (None, len(data)), "not base64 of the expected kind")
    return data

def read_vkey(text):
    """A verifier key's name, id and 32 bytes."""
    match = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)", text)
    need(match, "not a verifier key")
    name, key = match[1], unbase64(match[3], 33)
    key_id = sha256(name.encode() + b"\n" + key)[:4]
    need(key[0] == 1 and key_id.hex() == match[2], "the verifier key's id does not fit it")
    return name, key_id, key[1:]

def open_checkpoint(note, vkey):  # section 3
    """(origin, size, root) of a signed checkpoint; without a key, its signature is not checked."""
    end, held = note.rfind("\n\n"), not vkey
    need(end >= 0 and note.endswith("\n"), "the checkpoint is not a signed note")
    for line in note[end + 2:-1].split("\n"):
        match = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        need(match, "a signature line of the checkpoint is not in form")
        signature = unbase64(match[2])
        if vkey and (match[1], signature[:4]) == vkey[:2]:
            need_signature(vkey[2], note[:end + 1].encode(), signature[4:])
            held = True
    need(held, "the checkpoint has no signature by the expected key")
    lines = note[:end].split("\n")
    need(len(lines) >= 3 and "" not in lines and (not vkey or lines[0] == vkey[0])
         and re.fullmatch(NUMBER, lines[1]), "not a checkpoint of this log")
    return lines[0], int(lines[1]), unbase64(lines[2], 32)

def read_pin(path):
    vkey, _, note = read(path).decode().partition("\n\n")
    return (vkey,) + open_checkpoint(note, read_vkey(vkey))

CRC_TABLE = list(range(256))
for _ in range(8):
    CRC_TABLE = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in CRC_TABLE]
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF

def unzstd(frames, length):
    """Decompresses frames that stand back to back; None unless that gives exactly `length` bytes."""
    try:
        done = subprocess.run(["zstd", "-dcq"], input=frames, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise CannotCheck("the zstd program is needed: %s" % error)
    return done.stdout if done.returncode == 0 and len(done.stdout) == length else None

def bundle(data):
    """The entries of a C2SP entry bundle; None when it ends within one."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at:at + 2], "big")
        entries.append(data[at + 2:end])
        at = end
    return entries if at == len(data) else None

class Ledger:
    """What is read of one ledger, and what is found to be wrong with it."""
    def __init__(self, name):
        self.name, self.damage, self.unchecked, self.limits = name, [], [], []
        self.first, self.end, self.checkpoint, self.authorised = 0, 0, None, 0
        self.nodes, self.stored = {}, {}        # tile -> its root, as computed and as stored
        self.suspects, self.leaves = {}, {}     # tile -> entries whose stored prefix differs; index -> leaf
        self.cuts, self.lost = set(), False     # tiles that signed sizes end in; whether entries cannot be read
        self.received, self.values, self.wanted, self.erased = "", {}, [], set()

    def add(self, what, first=None, end=None):
        last = self.damage[-1] if self.damage else {}
        if first is not None and (last.get("what"), last.get("end")) == (what, first):
            last["end"] = end
        else:
            self.damage.append({"what": what, "first": first, "end": end})
    def lose(self, first, end, why):
        self.lost, self.end = True, max(self.end, end)
        self.add("missing or unreadable: " + why, first, end)

    def entry(self, index, entry):  # section 1
        self.end, refs = max(self.end, index + 1), []
        try:
            event = json.loads(entry.decode(), object_hook=lambda o: refs.append(o) or o if "$ref" in o else o)
            if isinstance(event, dict) and event.get("v") != 1:
                return
            data = event.get("event_data", {})
            need(entry.startswith(b'{"v":1,"event_id":') and len(entry) <= 61440 and isinstance(data, dict)
                 and all(isinstance(event.get(name), str) for name in REQUIRED)
                 and all(re.fullmatch(TIME, event[name]) for name in ("event_time", "received_at")), "")
            if event["event_source"] == "attestry" and self.checkpoint and index < self.checkpoint[1]:
                if event["event_name"] == "value.erased":
                    self.erased.add(str(data.get("value")))
                if event["event_name"] == "ledger.pruned":
                    self.authorised = max(self.authorised, int(str(data.get("first", 0))))
        except (ValueError, AttributeError, RecursionError):
            return self.add("not an entry in the format", index, index + 1)
        if event["received_at"] < self.received:
            self.add("received_at is earlier than that of the entry before", index, index + 1)
        self.received = event["received_at"]
        self.wanted += [(index, str(ref["$ref"]), ref.get("bytes")) for ref in refs]

    def value(self, digest, salt, content):
        self.values["sha256:" + digest.hex()] = len(content) if content and sha256(salt + content) == digest else None

    def segment(self, path, first, end):  # section 5
        name, data, count = os.path.basename(path), read(path), end - first
        need(data[:16] == b"ATTESTRY-SEG-1\n\0" and len(data) >= 112 and data[-8:] == b"ATSEGEND", "not whole")
        *range_, directory, blocks, each, prefixes, nodes, crc, last = struct.unpack("<QQ32xQIIQQII8x", data[-96:])
        need(last == crc32c(data[-96:-12]) and range_ == [first, end], "its footer is damaged or another's")
        need(count > 0 and first % 256 == 0 and count % 256 == 0 and nodes + count // 8 == len(data) - 96
             and bool(blocks) == path.endswith(".seg"), "it is not what its name says")
        if crc32c(data[directory:-96]) != crc:
            self.add("%s: directory, prefixes and nodes do not match their checksum" % name)
        self.stored.update((first // 256 + n, data[nodes + 32 * n:nodes + 32 * n + 32]) for n in range(count // 256))
        if not blocks:
            need(first == self.first, "pruned, but entries before them are not")
            self.first, self.end = end, end
            return
        need(each in (64, 128, 256) and blocks * each == count and directory + 24 * blocks == prefixes
             and prefixes + 4 * count == nodes, "its footer contradicts itself")
        records = list(struct.iter_unpack("<QIIII", data[directory:prefixes]))
        frames = [data[r[0]:r[0] + r[1]] for r in records]
        whole, at, leaves = unzstd(b"".join(frames), sum(r[2] for r in records)), 0, {}
        for begin, record, frame in zip(range(first, end, each), records, frames):
            if crc32c(frame) != record[4]:
                self.add("%s: the block at byte %d does not match its checksum" % (name, record[0]))
            entries = bundle((unzstd(frame, record[2]) if whole is None else whole[at:at + record[2]]) or b"")
            at += record[2]
            if not entries or len(entries) != each:
                self.lose(begin, begin + each, "%s: the block at byte %d" % (name, record[0]))
                continue
            for index, entry in enumerate(entries, begin):
                leaves[index] = sha256(b"\0" + entry)
                self.entry(index, entry)
        for tile in range(first // 256, end // 256):
            mine, at = self.tile(tile, leaves), prefixes - 4 * first
            self.suspects[tile] = [i for i in mine if mine[i][:4] != data[at + 4 * i:at + 4 * i + 4]]

    def tile(self, tile, leaves):
        mine = {i: leaves[i] for i in range(tile * 256, tile * 256 + 256) if i in leaves}
        if len(mine) == 256:
            self.nodes[tile] = tree((0, leaf) for leaf in mine.values())[1]
        if tile in self.cuts:
            self.leaves.update(mine)
        return mine

    def value_file(self, path):  # section 6
        data = read(path)
        at = 16 if data[:16] == b"ATTESTRY-VAL-1\n\0" else len(data) + 1
        while at + 60 <= len(data):
            digest, salt, size, length, crc = struct.unpack_from("<32s16sIII", data, at)
            frame = data[at + 60:at + 60 + length]
            self.value(digest, salt, unzstd(frame, size) if crc32c(frame) == crc else None)
            at += 60 + length
        if at != len(data):
            self.add("%s is not a whole value file" % os.path.basename(path))

    def journal(self, files, expected):  # section 7
        for (name, data), (following, _) in zip(files, files[1:] + [("", b"")]):
            # A file set aside, `.jnl.damaged`, counts as one with nothing in it.
            for body in self.records(name, data, int(following[:20] or 1 << 64)) if name.endswith(".jnl") else ():
                entries = bundle(body[13:]) if body[:1] == b"\1" and len(body) >= 13 else None
                if body[:1] == b"\2" and len(body) >= 49:
                    self.value(body[1:33], body[33:49], body[49:])
                elif entries is None or struct.unpack_from("<I", body, 9) != (len(entries),):
                    self.add("wal/%s: a record contradicts itself" % name)
                else:
                    first = struct.unpack_from("<Q", body, 1)[0]
                    if first > expected:
                        self.lose(expected, first, "the journal does not hold them")
                    for index, entry in enumerate(entries, first):
                        if index >= expected:
                            self.leaves[index] = sha256(b"\0" + entry)
                            self.entry(index, entry)
                    expected = max(expected, first + len(entries))
        for tile in {index // 256 for index in self.leaves} - self.nodes.keys():
            self.tile(tile, self.leaves)

    def records(self, name, data, following):
        """The payloads of one file in order; reports those that had been acknowledged and are damaged."""
        wanted, at = int(name[:20]), 1024
        copies = [copy for copy in (data[:32], data[512:544]) if copy[28:] == struct.pack("<I", crc32c(copy[:28]))
                  and copy[:24] == b"ATTESTRY-JNL-1\n\0" + struct.pack("<Q", wanted)]
        def head(at):
            """(length, sequence, durable, crc, is a record, where it ends) of a whole head that stands here."""
            raw = data[at:at + 32]
            if raw[:4] in (b"JRNL", b"JMRK") and raw[28:] == struct.pack("<I", crc32c(copies[0][24:28] + raw[:28])):
                found = struct.unpack("<IQQI", raw[4:28])
                return found + (raw[:4] == b"JRNL", at + -(-(32 + found[0]) // 8) * 8)
        if not copies:
            self.add("wal/%s: both of its headers are damaged" % name)
            return
        while wanted < following:
            found, search = head(at), at
            if found and found[1] == wanted and found[4]:
                search, body = found[5], data[at + 32:at + 32 + found[0]]
                if len(body) == found[0] and crc32c(body) == found[3]:
                    at, wanted = search, wanted + 1
                    yield body
                    continue
            durable, resume = following % (1 << 64), None
            for match in re.compile(b"JRNL|JMRK").finditer(data, search):
                found = head(match.start()) if match.start() % 8 == 0 and match.start() >= search else None
                if found:
                    search, durable = found[5], max(durable, found[2])
                    if resume is None and found[4] and wanted < found[1] < following:
                        resume = match.start(), found[1]
            if durable <= wanted:
                return  # a torn tail that nobody was told about
            self.add("wal/%s: damaged from byte %d" % (name, at))
            at, wanted = resume or (len(data), durable)

    def choose(self, size, root):
        """For each tile its computed or its stored node, so that they lead to the root; None when no choice does."""
        computed = {t: self.nodes.get(t, self.stored.get(t)) for t in range(size // 256)}
        stored = {t: self.stored.get(t, computed[t]) for t in computed}
        leaves = [(0, self.leaves.get(index)) for index in range(size // 256 * 256, size)]
        if None in computed.values() or (0, None) in leaves:
            return None
        either = [t for t in computed if stored[t] != computed[t]]
        bits = [(0, 1)] * len(either)  # of many, only all or none
        for bits in itertools.product(*bits) if len(either) <= 8 else zip(*bits):
            chosen = {**computed, **{t: stored[t] for t, bit in zip(either, bits) if bit}}
            if tree([(8, chosen[t]) for t in chosen] + leaves)[1] == root:
                return chosen

    def compare(self, anchors):
        """Ties the entries to the roots that were signed; `anchors` are (size, root, whose)."""
        held = [0]
        for size, root, whose in sorted(anchors):
            proven = max(other for other in held if other < size or not other)
            chosen = self.choose(size, root) if size <= self.end else None
            for tile in range(proven // 256, -(-min(size, self.end) // 256)):
                computed, stored = self.nodes.get(tile), self.stored.get(tile)
                right = stored if chosen is None else chosen.get(tile)
                if computed and right and computed != right:
                    for index in self.suspects.get(tile) or range(tile * 256, tile * 256 + 256):
                        self.add("altered: not what was hashed here", index, index + 1)
                elif chosen and computed and right and ((stored or right) != right or self.suspects.get(tile)):
                    self.add("a stored hash is wrong, the entries are right", tile * 256, tile * 256 + 256)
            if chosen is not None:
                held.append(size)
            elif size > self.end:
                self.add("missing: %s has them" % whose, self.end, size)
            elif not self.lost:
                self.add("these do not lead to the root of %s: at least one was changed" % whose, proven, size)
            if chosen is None and (self.lost or size > self.end):
                self.unchecked.append("entries from %d on, where not listed, cannot be tied to %s" % (proven, whose))

def check_ledger(path, name, origin, pins):  # sections 4 and 9
    ledger, anchors, text, sealed, directory = Ledger(name), [], "", 0, os.path.join(path, "segments")
    try:
        text = read(path, "vkey").decode().rstrip("\n")
        need(read_vkey(text)[0] == origin, "the key is of another log")
        if "checkpoint" in listed(path):
            ledger.checkpoint = open_checkpoint(read(path, "checkpoint").decode(), read_vkey(text))
            anchors.append(ledger.checkpoint[1:] + ("the checkpoint",))
    except (OSError, ValueError) as error:
        ledger.add("key or checkpoint: %s" % error)
    for pinned_key, _, size, root in pins:
        anchors.append((size, root, "the pinned checkpoint"))
        if pinned_key != text:
            ledger.add("the key is another than the pinned one", 0, size)
        if ledger.checkpoint and ledger.checkpoint[1] < size:
            ledger.add("the checkpoint is older than the pinned one", ledger.checkpoint[1], size)
    ledger.cuts = {anchor[0] // 256 for anchor in anchors}
    journal = [(file, read(path, "wal", file)) for file in listed(path, "wal")
               if re.fullmatch(r"\d{20}\.jnl(\.damaged)?", file)]
    found = [re.fullmatch(r"(\d{20})-(\d{20})\.(seg|pruned)", file) for file in listed(directory)]
    # Of a range that a crash left twice, the whole one comes before its parts and the sealed before the pruned.
    for first, end, pruned, file in sorted((int(m[1]), -int(m[2]), m[3] == "pruned", m[0]) for m in found if m):
        if -end <= sealed:
            continue
        if first > sealed:
            ledger.lose(sealed, first, "no segment holds them")
        elif first < sealed:
            ledger.add("segments/%s overlaps the one before" % file)
        sealed = -end
        try:
            ledger.segment(os.path.join(directory, file), first, sealed)
        except (OSError, ValueError) as error:
            ledger.lose(first, sealed, "segments/%s: %s" % (file, error))
        if not pruned and file[:42] + "val" in listed(directory):
            ledger.value_file(os.path.join(directory, file[:42] + "val"))
    ledger.journal(journal, sealed)
    if ledger.first > ledger.authorised:
        ledger.add("pruned, and no ledger.pruned event allows it", ledger.authorised, ledger.first)
    for anchor in [a for a in anchors if a[2] != "the checkpoint" and a[0] < ledger.first and a[0] % 256]:
        ledger.unchecked.append("the pin of %d entries: its tree ends within what was pruned" % anchor[0])
        anchors.remove(anchor)
    ledger.compare(anchors)
    for index, digest, length in ledger.wanted:
        if ledger.values.get(digest, length if digest in ledger.erased else "missing") != length:
            ledger.add("its large value is missing or altered, and no value.erased event explains it", index, index + 1)
    if not ledger.checkpoint and ledger.end:
        ledger.unchecked.append("the entries: there is no checkpoint that holds")
        if sealed and "checkpoint" not in listed(path):
            ledger.add("there is no checkpoint", 0, ledger.end)
    newest = max((pin[2] for pin in pins), default=0)
    ledger.limits.append("that the key's holder rewrote entries from %d on" % newest if pins else NO_PIN)
    return ledger

def check_directory(args, pins):
    path, found = args.path, read(args.path, "FORMAT")
    if found != b"attestry-data 1\n":
        raise CannotCheck("its format is %s, this program knows 'attestry-data 1'" % ascii(found[:80].decode().strip()))
    general, names = Ledger("(directory)"), listed(path, "ledgers")
    installation = read(path, "installation").decode() if "installation" in listed(path) else ""
    if not re.fullmatch("[0-9a-f]{32}\n", installation):
        general.add("the installation id is missing or damaged")
    origins = {"%s.attestry/%s" % (installation.strip(), name): name for name in names}
    for _, origin, size, _ in pins:
        if origin not in origins:
            general.add("missing: the pinned log %s is not here" % origin, 0, size)
    for file in listed(path, "keys"):
        if file.endswith(".key") and file[:-4] not in names:
            general.add("keys/%s is of a ledger that is not here" % file)
    return [general] * bool(general.damage) + [
        check_ledger(os.path.join(path, "ledgers", name), name, origin, [pin for pin in pins if pin[1] == origin])
        for origin, name in origins.items()]

def check_proof(args, pins):  # section 3
    ledger, text = Ledger("(proof)"), read(args.path).decode()
    if not text.startswith("c2sp.org/tlog-proof@v1\n"):
        raise CannotCheck("it is neither a data directory nor an export nor a proof")
    entry = read(args.entry or os.path.splitext(args.path)[0] + ".json").rstrip(b"\n")
    try:
        head, _, note = text.partition("\n\n")
        match = re.fullmatch(r"c2sp\.org/tlog-proof@v1\n(?:extra \S*\n)?index " + NUMBER + r"((?:\n\S+)*)", head)
        need(match, "not a tlog-proof@v1")
        index, hashes = int(match[1]), [unbase64(line, 32) for line in match[2].split()]
        keys = [args.vkey] * bool(args.vkey) + [pin[0] for pin in pins if pin[1] == note.partition("\n")[0]]
        ledger.checkpoint = open_checkpoint(note, read_vkey(keys[0]) if keys else None)
        if not keys:
            ledger.unchecked.append("the checkpoint's signature: give the log's key by --vkey or --pin")
        ledger.entry(index, entry)
        need(inclusion_root(sha256(b"\0" + entry), index, ledger.checkpoint[1], hashes) == ledger.checkpoint[2],
             "the entry is not the one that the log has at index %d" % index)
    except ValueError as error:
        ledger.add(str(error))
    return [ledger]

def check_export(args, pins):  # section 8
    parts, nodes, lines = [], None, open(args.path, "rb")
    head = lines.readline()
    if not head.startswith(b'{"attestry_export":1,'):
        return check_proof(args, pins)
    head = json.loads(head)
    ledger, origin = Ledger(head["ledger"]), head["checkpoint"].partition("\n")[0]
    keys = [args.vkey] * bool(args.vkey) + [pin[0] for pin in pins if pin[1] == origin]
    if not keys:
        ledger.limits.append("that the key which the export names is not the log's: give that by --vkey or --pin")
    for line in lines:
        entry = re.fullmatch(rb'\{"index":(\d+),"entry":(.*)\}\n?', line)
        try:
            need(nodes is None, "something follows the last line")
            item = {} if entry else json.loads(line)
            if entry:
                if parts and parts[-1][0] >= int(entry[1]):
                    ledger.add("not in the order of the log", int(entry[1]), int(entry[1]) + 1)
                ledger.entry(int(entry[1]), entry[2])
                parts.append((int(entry[1]), 0, sha256(b"\0" + entry[2])))
            elif "value" in item:
                ledger.value(bytes.fromhex(item["value"][7:]), unbase64(item["salt"], 16), item["content"].encode())
            else:
                nodes = [(i << l, l, unbase64(node, 32)) for l, i, node in item["nodes"] if 0 <= l < 64]
                need(item["count"] == len(parts), "another number of entries than the last line says")
        except (ValueError, KeyError, TypeError) as error:
            ledger.add("a line that is not in form, after %d entries: %s" % (len(parts), error))
    ledger.first, expected = parts[0][0] if parts else ledger.end, head["first"]
    for index in [part[0] for part in parts] + [head["end"]] if expected is not None else ():
        if index > expected:
            ledger.add("missing: the export claims to be complete", expected, index)
        expected = max(expected, index + 1)
    try:
        need(nodes is not None, "the export was cut: its last line is missing")
        ledger.checkpoint = open_checkpoint(head["checkpoint"], read_vkey((keys or [head["vkey"]])[0]))
        parts = sorted(parts + nodes)
        need([0, *itertools.accumulate(1 << part[1] for part in parts)][:-1] == [part[0] for part in parts]
             and ledger.checkpoint[1:] == tree(part[1:] for part in parts),
             "entries and nodes do not lead to the root of the checkpoint: some were changed, or are missing")
    except ValueError as error:
        ledger.add(str(error), ledger.first, ledger.end)
    for index, digest, length in ledger.wanted:  # one that is not there was erased, or left out
        if ledger.values.get(digest, length) != length:
            ledger.add("its large value was altered", index, index + 1)
    return [ledger]

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--pin", action="append", default=[], metavar="FILE", help="key and checkpoint, kept elsewhere")
    parser.add_argument("--entry", metavar="FILE", help="the raw entry that a proof is of")
    parser.add_argument("--vkey", metavar="KEY", help="the log's verifier key, for an export or a proof")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        pins = [read_pin(pin) for pin in args.pin]
        ledgers = (check_directory if os.path.isdir(args.path) else check_export)(args, pins)
    except (CannotCheck, OSError, ValueError, KeyError) as error:
        print("could not check %s: %s" % (args.path, error), file=sys.stderr)
        return 2
    code = 1 if any(ledger.damage for ledger in ledgers) else 2 if any(ledger.unchecked for ledger in ledgers) else 0
    names = "name", "first", "end", "damage", "unchecked", "limits"
    if args.json:
        print(json.dumps({"exit": code, "ledgers": [{name: getattr(l, name) for name in names} for l in ledgers]}))
        return code
    for l in ledgers:
        signed = l.checkpoint and "%d, root %s" % (l.checkpoint[1], base64.b64encode(l.checkpoint[2]).decode())
        print("%s: entries %d..%d, checkpoint: %s" % (l.name, l.first, l.end, signed or "none that holds"))
        said = [("DAMAGE", ("" if found["first"] is None else "entries %d to %d: " % (found["first"], found["end"] - 1))
                 + found["what"]) for found in l.damage]
        said += [("not checked", text) for text in l.unchecked] + [("not excluded", text) for text in l.limits]
        for label, text in said:
            print(ascii("  %-13s %s" % (label, text))[1:-1])
    print(("clean", "DAMAGED", "no damage found, but not everything could be checked")[code])
    return code

if __name__ == "__main__":
    sys.exit(main())
