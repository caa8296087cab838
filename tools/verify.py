#!/usr/bin/env python3
"""Checks Attestry's evidence without any of Attestry's code: a data directory, an export, or a proof with its entry.

Written from docs/formats.md alone; section numbers below are that page's. It needs Python 3.8 and, for sealed segments,
the `zstd` program. Exit code 0: clean, 1: damage, 2: could not check.
"""
import argparse, base64, hashlib, itertools, json, os, re, struct, subprocess, sys, tempfile

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
REQUIRED = ("event_id", "event_time", "received_at", "event_name", "username", "event_source", "source_ip_address")
NO_PIN = ("without a pin: that an older copy was put back, that the newest entries were cut off together with their "
          "checkpoint, or that key and checkpoint were replaced together")


class CannotCheck(Exception):
    """There is nothing here that could be called clean or damaged."""


class Bad(Exception):
    """Bytes that contradict their format."""


def need(condition, what):
    if not condition:
        raise Bad(what)


# ---- the tree (section 2)

def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    return sha256(b"\0" + entry)


class Tree:
    """Appends complete subtrees from the left; a stack of (level, root)."""

    def __init__(self, subtrees=()):
        self.stack, self.size = [], 0
        for level, root in subtrees:
            self.push(level, root)

    def push(self, level, root):
        need(self.size % (1 << level) == 0, "a node of level %d cannot begin at entry %d" % (level, self.size))
        self.size += 1 << level
        while self.stack and self.stack[-1][0] == level:
            root, level = sha256(b"\1" + self.stack.pop()[1] + root), level + 1
        self.stack.append((level, root))

    def root(self):
        root = self.stack[-1][1] if self.stack else sha256(b"")
        for _, left in reversed(self.stack[:-1]):
            root = sha256(b"\1" + left + root)
        return root


def tile_root(leaves):
    return Tree((0, leaf) for leaf in leaves).root()


def inclusion_root(node, index, size, hashes):
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2)."""
    need(index < size, "the proof is of entry %d, its tree has %d" % (index, size))
    last = size - 1
    for sibling in hashes:
        need(last, "the proof has too many hashes")
        if index & 1 or index == last:
            node = sha256(b"\1" + sibling + node)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling)
        index, last = index >> 1, last >> 1
    need(not last, "the proof has too few hashes")
    return node


# ---- Ed25519 (RFC 8032), keys, notes, checkpoints (section 3)

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P


def point_times(n, point):
    result = (0, 1, 1, 0)
    while n:
        result = point_add(result, point) if n & 1 else result
        point, n = point_add(point, point), n >> 1
    return result


def point_read(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def is_same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


BASE = point_read((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signature_holds(public, message, signature):
    if len(signature) != 64:
        return False
    a, r, s = point_read(public), point_read(signature[:32]), int.from_bytes(signature[32:], "little")
    if not a or not r or s >= L or any(is_same(point_times(8, point), (0, 1, 1, 0)) for point in (a, r)):
        return False  # points of small order are refused
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return is_same(point_times(s, BASE), point_add(r, point_times(h, a)))


def unbase64(text, length=None):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = None
    need(data is not None and base64.b64encode(data).decode() == text and length in (None, len(data)), "bad base64")
    return data


def decimal(text):
    need(re.fullmatch("0|[1-9][0-9]{0,19}", text), "not a plain decimal number")
    return int(text)


def read_vkey(text):
    """A verifier key's name, id and 32 bytes."""
    match = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)", text)
    need(match, "not a verifier key")
    name, key = match.group(1), unbase64(match.group(3), 33)
    key_id = sha256(name.encode() + b"\n" + key)[:4]
    need(key[0] == 1 and key_id.hex() == match.group(2), "the verifier key's id does not fit it")
    return name, key_id, key[1:]


def open_checkpoint(note, vkey):
    """(origin, size, root) of a signed checkpoint; without a key, its signature is not checked."""
    end, held = note.rfind("\n\n"), False
    need(end >= 0 and note.endswith("\n"), "the checkpoint is not a signed note")
    for line in note[end + 2:-1].split("\n"):
        match = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        need(match, "a signature line of the checkpoint is not in form")
        signature = unbase64(match.group(2))
        if vkey and (match.group(1), signature[:4]) == vkey[:2]:
            held = signature_holds(vkey[2], note[:end + 1].encode(), signature[4:])
            need(held, "the checkpoint's signature does not hold")
    need(held or not vkey, "the checkpoint has no signature by the expected key")
    lines = note[:end].split("\n")
    need(len(lines) >= 3 and "" not in lines and (not vkey or lines[0] == vkey[0]), "not a checkpoint of this log")
    return lines[0], decimal(lines[1]), unbase64(lines[2], 32)


def read_text(path):
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError:
        raise Bad("not UTF-8")


def read_pin(path):
    vkey, _, note = read_text(path).partition("\n\n")
    return (vkey,) + open_checkpoint(note, read_vkey(vkey))


# ---- pieces that several files are made of

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
    with tempfile.TemporaryFile() as file:
        file.write(frames)
        file.seek(0)
        try:
            done = subprocess.run(["zstd", "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise CannotCheck("the zstd program is needed: %s" % error)
    return done.stdout if done.returncode == 0 and len(done.stdout) == length else None


def bundle(data):
    """The entries of a C2SP entry bundle; None when it ends within one."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at:at + 2], "big")
        if end > len(data):
            return None
        entries.append(data[at + 2:end])
        at = end
    return entries


class Ledger:
    """What is read of one ledger, and what is found to be wrong with it."""

    def __init__(self, name):
        self.name, self.damage, self.unchecked, self.notes, self.limits = name, [], [], [], []
        self.first, self.end, self.checkpoint = 0, 0, None
        self.nodes, self.stored = {}, {}           # tile -> its root, as computed and as stored
        self.suspects, self.leaves = {}, {}        # tile -> entries whose stored prefix differs; index -> leaf
        self.cuts, self.lost = set(), []           # tiles that signed sizes end in; ranges that cannot be read
        self.received, self.authorised = "", 0     # the latest received_at; the first entry that must be there
        self.values, self.wanted, self.erased = {}, [], set()

    def add(self, what, first=None, end=None):
        last = self.damage[-1] if self.damage else {}
        if first is not None and (last.get("what"), last.get("end")) == (what, first):
            last["end"] = end
        else:
            self.damage.append({"what": what, "first": first, "end": end})

    def lose(self, first, end, why):
        self.lost.append((first, end))
        self.end = max(self.end, end)
        self.add("missing or unreadable: " + why, first, end)

    def entry(self, index, entry):
        """Checks an entry as section 1 has it, and takes from it what other checks need."""
        self.end = max(self.end, index + 1)
        try:
            event = json.loads(entry.decode("utf-8"))
            if isinstance(event, dict) and event.get("v") != 1:
                return
            need(entry.startswith(b'{"v":1,"event_id":') and len(entry) <= 61440, "")
            need(all(isinstance(event.get(name), str) for name in REQUIRED), "")
            need(all(TIME.fullmatch(event[name]) for name in ("event_time", "received_at")), "")
        except (Bad, ValueError, RecursionError):
            return self.add("not an entry in the format", index, index + 1)
        if event["received_at"] < self.received:
            self.add("received_at is earlier than that of the entry before", index, index + 1)
        self.received = event["received_at"]
        data = event.get("event_data") or {}
        if b'"$ref"' in entry:
            self.references(index, [event.get("message"), data])
        if event["event_source"] == "attestry" and event["event_name"] == "value.erased":
            self.erased.add(data.get("value"))
        if event["event_source"] == "attestry" and event["event_name"] == "ledger.pruned":
            self.authorised = max(self.authorised, int(data.get("first", 0)))

    def references(self, index, value):
        if isinstance(value, dict) and "$ref" in value:
            self.wanted.append((index, value["$ref"], value.get("bytes")))
        elif isinstance(value, (dict, list)):
            for item in value.values() if isinstance(value, dict) else value:
                self.references(index, item)

    def value(self, digest, salt, content):
        good = content is not None and sha256(salt + content) == digest
        self.values["sha256:" + digest.hex()] = len(content) if good else None

    def segment(self, path, first, end):
        """Section 5."""
        name = os.path.basename(path)
        with open(path, "rb") as file:
            data = file.read()
        need(data[:16] == b"ATTESTRY-SEG-1\n\0" and len(data) >= 112 and data[-8:] == b"ATSEGEND", "not whole")
        tables, count = len(data) - 96, end - first
        f = struct.unpack("<QQ32xQIIQQII8x", data[tables:])
        directory, blocks, each, prefixes, nodes = f[2:7]
        need(f[8] == crc32c(data[tables:-12]) and f[:2] == (first, end), "its footer is damaged or another's")
        need(count > 0 and first % 256 == 0 and count % 256 == 0 and nodes + count // 8 == tables, "its footer lies")
        need(bool(blocks) == path.endswith(".seg"), "it is not what its name says")
        if crc32c(data[directory:tables]) != f[7]:
            self.add("%s: directory, prefixes and nodes do not match their checksum" % name)
        for n, tile in enumerate(range(first // 256, end // 256)):
            self.stored[tile] = data[nodes + 32 * n:nodes + 32 * n + 32]
        if not blocks:
            if first != self.first:
                self.add("pruned, but entries before them are not", first, end)
            self.first, self.end = end, end
            return
        need(each in (64, 128, 256) and blocks * each == count and directory + 24 * blocks == prefixes
             and prefixes + 4 * count == nodes, "its footer lies")
        records = [struct.unpack_from("<QIIII", data, directory + 24 * n) for n in range(blocks)]
        frames = [data[r[0]:r[0] + r[1]] if r[0] + r[1] <= directory else b"" for r in records]
        whole, at, leaves = unzstd(b"".join(frames), sum(r[2] for r in records)), 0, {}
        for n, (record, frame) in enumerate(zip(records, frames)):
            begin = first + n * each
            if crc32c(frame) != record[4]:
                self.add("%s: block %d does not match its checksum" % (name, n))
            content = unzstd(frame, record[2]) if whole is None else whole[at:at + record[2]]
            at += record[2]
            entries = bundle(content or b"")
            if not entries or len(entries) != each:
                self.lose(begin, begin + each, "%s: block %d" % (name, n))
                entries = []
            for index, entry in enumerate(entries, begin):
                leaves[index] = leaf_hash(entry)
                self.entry(index, entry)
            if (begin + each) % 256 == 0:
                self.tile((begin + each) // 256 - 1, leaves, data, prefixes - 4 * first)
                leaves = {}

    def tile(self, tile, leaves, data, prefixes):
        if len(leaves) == 256:
            self.nodes[tile] = tile_root(leaves.values())
        self.suspects[tile] = [i for i in leaves if leaves[i][:4] != data[prefixes + 4 * i:prefixes + 4 * i + 4]]
        if tile in self.cuts:
            self.leaves.update(leaves)

    def value_file(self, path):
        """Section 6."""
        with open(path, "rb") as file:
            data = file.read()
        at = 16 if data[:16] == b"ATTESTRY-VAL-1\n\0" else len(data) + 1
        while at + 60 <= len(data):
            digest, salt, size, length, crc = struct.unpack_from("<32s16sIII", data, at)
            frame = data[at + 60:at + 60 + length]
            self.value(digest, salt, unzstd(frame, size) if crc32c(frame) == crc else None)
            at += 60 + length
        if at != len(data):
            self.add("%s is not a whole value file" % os.path.basename(path))

    def journal(self, directory, sealed):
        """Section 7."""
        names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
        names = [name for name in names if re.fullmatch(r"\d{20}\.jnl(\.damaged)?", name)]
        expected = sealed
        for position, name in enumerate(names):
            following = int(names[position + 1][:20]) if position + 1 < len(names) else None
            if name.endswith(".damaged"):
                self.notes.append("wal/%s was set aside by the server" % name)
                continue
            with open(os.path.join(directory, name), "rb") as file:
                data = file.read()
            for body in self.records(name, data, following):
                expected = self.record(name, body, expected)
        for tile in {index // 256 for index in self.leaves} - self.nodes.keys():
            leaves = [self.leaves.get(index) for index in range(tile * 256, tile * 256 + 256)]
            if None not in leaves:
                self.nodes[tile] = tile_root(leaves)

    def records(self, name, data, following):
        """The payloads of one file in order."""
        wanted, salt, at = int(name[:20]), None, 1024
        for copy in (data[512:544], data[:32]):
            if copy[:24] == b"ATTESTRY-JNL-1\n\0" + struct.pack("<Q", wanted) and copy[28:] == struct.pack(
                    "<I", crc32c(copy[:28])):
                salt = copy[24:28]
        if salt is None:
            return self.add("wal/%s: both of its headers are damaged" % name)

        def head(at):
            """(length, sequence, durable, crc, is a record) of a whole head that stands here."""
            raw = data[at:at + 32]
            if raw[:4] in (b"JRNL", b"JMRK") and raw[28:] == struct.pack("<I", crc32c(salt + raw[:28])):
                return struct.unpack("<IQQI", raw[4:28]) + (raw[:4] == b"JRNL",)

        while following is None or wanted < following:
            found, search = head(at), at
            if found and found[1] == wanted and found[4]:
                search = at + -(-(32 + found[0]) // 8) * 8
                body = data[at + 32:at + 32 + found[0]]
                if len(body) == found[0] and crc32c(body) == found[3]:
                    at, wanted = search, wanted + 1
                    yield body
                    continue
            durable, resume = 0, None
            while search < len(data):
                match = re.compile(b"JRNL|JMRK").search(data, search)
                search = match.start() if match else len(data)
                found = head(search) if search % 8 == 0 else None
                if found:
                    durable = max(durable, found[2])
                    if resume is None and found[4] and found[1] > wanted and (not following or found[1] < following):
                        resume = search, found[1]
                search += -(-(32 + found[0]) // 8) * 8 if found else 1
            durable = durable if following is None else following
            if durable <= wanted:
                return  # a torn tail that nobody was told about
            self.add("wal/%s: damaged from byte %d" % (name, at))
            at, wanted = resume or (len(data), durable)

    def record(self, name, body, expected):
        """Takes one payload; returns the index of the next entry."""
        if body[:1] == b"\2" and len(body) >= 49:
            self.value(body[1:33], body[33:49], body[49:])
            return expected
        entries = bundle(body[13:]) if body[:1] == b"\1" and len(body) >= 13 else None
        first, count = struct.unpack_from("<QI", body, 1) if entries is not None else (0, -1)
        if entries is None or len(entries) != count:
            self.add("wal/%s: a record contradicts itself" % name)
            return expected
        if first > expected:
            self.lose(expected, first, "the journal does not hold them")
        for index, entry in enumerate(entries, first):
            if index >= expected:
                self.leaves[index] = leaf_hash(entry)
                self.entry(index, entry)
        return max(expected, first + count)

    def choose(self, size, root):
        """For each tile its computed or its stored node, so that they lead to the root; None when no choice does."""
        tiles = range(size // 256)
        computed = {t: self.nodes.get(t, self.stored.get(t)) for t in tiles}
        stored = {t: self.stored.get(t, computed[t]) for t in tiles}
        leaves = [(0, self.leaves.get(index)) for index in range(size // 256 * 256, size)]
        if None in computed.values() or (0, None) in leaves:
            return None
        either = [t for t in tiles if stored[t] != computed[t]]
        some = itertools.product((0, 1), repeat=len(either)) if len(either) <= 8 else ()
        for bits in itertools.chain([[0] * len(either), [1] * len(either)], some):
            chosen = dict(computed)
            chosen.update((t, stored[t]) for t, bit in zip(either, bits) if bit)
            if Tree([(8, chosen[t]) for t in tiles] + leaves).root() == root:
                return chosen
        return None

    def compare(self, anchors):
        """Ties the entries to the roots that were signed; `anchors` are (size, root, whose)."""
        proven = 0
        for size, root, whose in sorted(anchors):
            chosen = self.choose(size, root) if size <= self.end else None
            for tile in range(proven // 256, -(-min(size, self.end) // 256)):
                computed, stored = self.nodes.get(tile), self.stored.get(tile)
                right = stored if chosen is None else chosen.get(tile)
                if computed and right and computed != right:
                    for index in self.suspects.get(tile) or range(tile * 256, tile * 256 + 256):
                        self.add("altered: not what was hashed here", index, index + 1)
                elif chosen and computed and right and (stored or right) != right or chosen and self.suspects.get(tile):
                    self.add("a stored hash is wrong, the entries are right", tile * 256, tile * 256 + 256)
            if chosen is not None:
                proven = size
            elif size > self.end:
                self.add("missing: %s has them" % whose, self.end, size)
            elif not self.lost:
                self.add("these do not lead to the root of %s: at least one was changed" % whose, proven, size)
            if chosen is None and (self.lost or size > self.end) and proven < min(size, self.end):
                self.unchecked.append("entries %d to %d, where not listed, cannot be tied to %s"
                                      % (proven, min(size, self.end) - 1, whose))

    def settle_values(self):
        for index, digest, length in self.wanted:
            if digest not in self.values and digest not in self.erased:
                self.add("its large value is missing, and no value.erased event explains it", index, index + 1)
            elif digest in self.values and self.values[digest] != length:
                self.add("its large value was altered or cannot be read", index, index + 1)


# ---- a data directory (section 4)

def check_ledger(path, name, origin, pins):
    ledger, anchors, vkey = Ledger(name), [], None
    try:
        text = read_text(os.path.join(path, "vkey")).rstrip("\n")
        vkey = read_vkey(text)
        need(vkey[0] == origin, "the key is of another log")
    except (OSError, Bad) as error:
        ledger.add("vkey: %s" % error)
    try:
        ledger.checkpoint = open_checkpoint(read_text(os.path.join(path, "checkpoint")), vkey) if vkey else None
        anchors += [ledger.checkpoint[1:] + ("the checkpoint",)] if vkey else []
    except (FileNotFoundError, Bad) as error:
        if isinstance(error, Bad):
            ledger.add("checkpoint: %s" % error)
    for pinned_key, _, size, root in pins:
        anchors.append((size, root, "the pinned checkpoint"))
        if not vkey or pinned_key != text:
            ledger.add("the key is another than the pinned one", 0, size)
        if ledger.checkpoint and ledger.checkpoint[1] < size:
            ledger.add("the checkpoint is older than the pinned one", ledger.checkpoint[1], size)
    ledger.cuts = {anchor[0] // 256 for anchor in anchors}
    directory, sealed = os.path.join(path, "segments"), 0
    found = [re.fullmatch(r"(\d{20})-(\d{20})\.(seg|pruned)", file)
             for file in (os.listdir(directory) if os.path.isdir(directory) else [])]
    # Of a range that a crash left twice, the whole one comes before its parts and the sealed before the pruned.
    for first, end, pruned, file in sorted((int(m[1]), -int(m[2]), m[3] == "pruned", m[0]) for m in found if m):
        end, full = -end, os.path.join(directory, file)
        if end <= sealed:
            continue
        if first > sealed:
            ledger.lose(sealed, first, "no segment holds them")
        elif first < sealed:
            ledger.add("segments/%s overlaps the one before" % file)
        try:
            ledger.segment(full, first, end)
        except (OSError, Bad) as error:
            ledger.lose(first, end, "segments/%s: %s" % (file, error))
        values = os.path.join(directory, file.split(".")[0] + ".val")
        if not pruned and os.path.exists(values):
            ledger.value_file(values)
        sealed = end
    ledger.journal(os.path.join(path, "wal"), sealed)
    if ledger.first > ledger.authorised:
        ledger.add("pruned, and no ledger.pruned event allows it", ledger.authorised, ledger.first)
    for anchor in [a for a in anchors if a[2] != "the checkpoint" and a[0] < ledger.first and a[0] % 256]:
        ledger.unchecked.append("the pin of %d entries: its tree ends within what was pruned" % anchor[0])
        anchors.remove(anchor)
    ledger.compare(anchors)
    ledger.settle_values()
    if not os.path.exists(os.path.join(path, "checkpoint")) and ledger.end:
        ledger.unchecked.append("the entries: there is no checkpoint")
        if sealed:
            ledger.add("there is no checkpoint", 0, ledger.end)
    if ledger.checkpoint and ledger.end > ledger.checkpoint[1]:
        ledger.notes.append("entries %d to %d are newer than the checkpoint" % (ledger.checkpoint[1], ledger.end - 1))
    ledger.limits.append("that the key's holder rewrote entries from %d on" % max(p[2] for p in pins) if pins else NO_PIN)
    return ledger


def check_directory(path, pins):
    found = re.fullmatch(r"attestry-data ([0-9]+)\n", read_text(os.path.join(path, "FORMAT")))
    if not found or found[1] != "1":
        raise CannotCheck("its format is not one that this program knows")
    general, ledgers = Ledger("(directory)"), os.path.join(path, "ledgers")
    try:
        installation = read_text(os.path.join(path, "installation"))
        need(re.fullmatch("[0-9a-f]{32}\n", installation), "")
    except (OSError, Bad):
        installation = ""
        general.add("the installation id is missing or damaged")
    names = sorted(os.listdir(ledgers)) if os.path.isdir(ledgers) else []
    origins = {"%s.attestry/%s" % (installation.strip(), name): name for name in names}
    for _, origin, size, _ in pins:
        if origin not in origins:
            general.add("missing: the pinned log %s is not here" % origin, 0, size)
    keys = os.path.join(path, "keys")
    for file in sorted(os.listdir(keys)) if os.path.isdir(keys) else []:
        if file.endswith(".key") and file[:-4] not in names:
            general.add("keys/%s is of a ledger that is not here" % file)
    return [general] * bool(general.damage) + [
        check_ledger(os.path.join(ledgers, name), name, origin, [pin for pin in pins if pin[1] == origin])
        for origin, name in origins.items()]


# ---- proofs (section 3) and exports (section 8)

def trusted_key(note, pins, vkey):
    keys = [vkey] if vkey else [pin[0] for pin in pins if pin[1] == note.partition("\n")[0]]
    return read_vkey(keys[0]) if keys else None


def check_proof(path, text, entry_path, pins, vkey):
    ledger = Ledger("(proof)")
    with open(entry_path or os.path.splitext(path)[0] + ".json", "rb") as file:
        entry = file.read()
    try:
        head, _, note = text.partition("\n\n")
        match = re.fullmatch(r"c2sp\.org/tlog-proof@v1\n(?:extra \S*\n)?index (\S+)((?:\n\S+)*)", head)
        need(match, "not a tlog-proof@v1")
        index, key = decimal(match[1]), trusted_key(note, pins, vkey)
        ledger.checkpoint = open_checkpoint(note, key)
        if not key:
            ledger.unchecked.append("the checkpoint's signature: give the log's key by --vkey or --pin")
        hashes = [unbase64(line, 32) for line in match[2].split()]
        entry = entry[:-1] if entry.endswith(b"\n") else entry
        if inclusion_root(leaf_hash(entry), index, ledger.checkpoint[1], hashes) != ledger.checkpoint[2]:
            ledger.add("the entry is not the one that the log has at this index", index, index + 1)
        ledger.entry(index, entry)
    except Bad as error:
        ledger.add(str(error))
    return [ledger]


def check_export(lines, pins, vkey):
    head, last, given = json.loads(lines[0]), {}, []
    ledger = Ledger(head["ledger"])
    try:
        key = trusted_key(head["checkpoint"], pins, vkey)
        if not key:
            ledger.limits.append("that the key named in the export is not the log's")
        ledger.checkpoint = open_checkpoint(head["checkpoint"], key or read_vkey(head["vkey"]))
        for line in lines[1:]:
            if line.startswith('{"index":'):
                number, _, entry = line[9:-1].partition(',"entry":')
                given.append((int(number), 0, leaf_hash(entry.encode())))
                ledger.entry(int(number), entry.encode())
            elif line.startswith('{"value":'):
                value = json.loads(line)
                ledger.value(bytes.fromhex(value["value"][7:]), unbase64(value["salt"]), value["content"].encode())
            else:
                last = json.loads(line)
        indexes = [item[0] for item in given]
        need(indexes == sorted(set(indexes)) and last.get("count") == len(given), "lines are missing or out of order")
        wanted = range(head["first"], head["end"]) if head["first"] is not None else indexes
        for index in sorted(set(wanted) - set(indexes)):
            ledger.add("missing: the export claims to be complete", index, index + 1)
        tree = Tree()
        for start, level, root in sorted(given + [(i << l, l, unbase64(h, 32)) for l, i, h in last["nodes"]]):
            need(start == tree.size, "the entries and nodes do not make a whole tree")
            tree.push(level, root)
        need((tree.size, tree.root()) == ledger.checkpoint[1:], "the entries do not lead to the checkpoint's root")
    except (Bad, KeyError, TypeError, ValueError) as error:
        ledger.add("the export: %s" % error, *((given[0][0], given[-1][0] + 1) if given else ()))
    ledger.wanted = [want for want in ledger.wanted if want[1] in ledger.values]
    ledger.settle_values()
    return [ledger]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--pin", action="append", default=[], metavar="FILE", help="a key and checkpoint kept elsewhere")
    parser.add_argument("--entry", metavar="FILE", help="the raw entry that a proof is of")
    parser.add_argument("--vkey", metavar="KEY", help="the log's verifier key, for a proof or an export")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        pins = [read_pin(pin) for pin in args.pin]
        text = "" if os.path.isdir(args.path) else read_text(args.path)
        if os.path.isdir(args.path):
            ledgers = check_directory(args.path, pins)
        elif text.startswith("c2sp.org/tlog-proof@v1\n"):
            ledgers = check_proof(args.path, text, args.entry, pins, args.vkey)
        elif text.startswith('{"attestry_export":1,'):
            ledgers = check_export(text.rstrip("\n").split("\n"), pins, args.vkey)
        else:
            raise CannotCheck("it is neither a data directory, nor an export, nor a proof")
    except (CannotCheck, Bad, OSError) as error:
        print("could not check %s: %s" % (args.path, error), file=sys.stderr)
        return 2
    code = 1 if any(ledger.damage for ledger in ledgers) else 2 if any(ledger.unchecked for ledger in ledgers) else 0
    if args.json:
        names = ("name", "first", "end", "damage", "unchecked", "notes", "limits")
        print(json.dumps({"exit": code, "ledgers": [{name: getattr(l, name) for name in names} for l in ledgers]}))
        return code
    for ledger in ledgers:
        print("%s: entries %d to %d, %s" % (ledger.name, ledger.first, ledger.end - 1, "checkpoint of %d, root %s" % (
            ledger.checkpoint[1], base64.b64encode(ledger.checkpoint[2]).decode()) if ledger.checkpoint else "no checkpoint"))
        for found in ledger.damage:
            where = "" if found["first"] is None else "entries %d to %d: " % (found["first"], found["end"] - 1)
            print(ascii("  DAMAGE        " + where + found["what"])[1:-1])
        for label, texts in (("not checked", ledger.unchecked), ("note", ledger.notes), ("not excluded", ledger.limits)):
            for text in texts:
                print("  %-13s %s" % (label, text))
    print({0: "clean", 1: "DAMAGED", 2: "no damage found, but not everything could be checked"}[code])
    return code


if __name__ == "__main__":
    sys.exit(main())
