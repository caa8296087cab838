import { expect, test } from 'vitest';
import { Log } from '../../test/mock/merkle';
import { parseCheckpoint, parseProof, ProofError, verifyProof } from './proof';

function makeLog(size: number, name = 'aa.attestry/audit'): Log {
  const log = new Log(name);
  for (let i = 0; i < size; i++) log.append(`entry ${i}`);
  return log;
}
const bytes = (text: string) => new TextEncoder().encode(text);
const check = (
  log: Log,
  index: number,
  entry = `entry ${index}`,
  proof = log.proof(index),
  vkey = log.vkey(),
) => Promise.resolve().then(() => verifyProof(bytes(entry), parseProof(proof), vkey));

test('every entry of trees of every small size verifies, and no other entry does', async () => {
  for (let size = 1; size <= 20; size++) {
    const log = makeLog(size);
    for (let index = 0; index < size; index++) {
      const done = await check(log, index);
      expect(done).toMatchObject({ index, size, leaf: log.leaf(index), root: log.root().toString('base64') });
      await expect(check(log, index, 'forged')).rejects.toThrow(ProofError);
    }
  }
});

const log = makeLog(13);
const proof = log.proof(5);
const hashLine = proof.split('\n')[2] ?? '';
const forged: [what: string, proof: string, vkey: string, message: RegExp][] = [
  ['another index', proof.replace('index 5', 'index 6'), log.vkey(), /does not lead to the root/],
  ['an index beyond the tree', proof.replace('index 5', 'index 13'), log.vkey(), /not below/],
  ['a hash left out', proof.replace(`${hashLine}\n`, ''), log.vkey(), /root|too few/],
  ['a hash twice', proof.replace(`${hashLine}\n`, `${hashLine}\n${hashLine}\n`), log.vkey(), /root|too many/],
  ['a changed size', proof.replace('\n13\n', '\n14\n'), log.vkey(), /root|too few|signature/],
  [
    'a changed origin',
    proof.replace('aa.attestry/audit\n13', 'ab.attestry/audit\n13'),
    log.vkey(),
    /another log/,
  ],
  ['a key of another log', proof, makeLog(1, 'bb.attestry/audit').vkey(), /another log/],
  ['another key of the same name', proof, makeLog(13).vkey(), /not signed with this key/],
  ['a key with a wrong id', proof, log.vkey().replace(/\+[0-9a-f]{8}\+/, '+00000000+'), /id it claims/],
  ['something else', 'hello', log.vkey(), /not a tlog-proof/],
  ['no base64', proof.replace(hashLine, '***'), log.vkey(), /base64/],
];
test.each(forged)('refuses %s', async (_, text, vkey, message) => {
  await expect(check(log, 5, 'entry 5', text, vkey)).rejects.toThrow(message);
});

test('a flipped bit in the signature is found', async () => {
  const lines = proof.trimEnd().split('\n');
  const last = lines.pop() ?? '';
  const at = last.length - 20;
  const flipped = last.slice(0, at) + (last[at] === 'A' ? 'B' : 'A') + last.slice(at + 1);
  await expect(check(log, 5, 'entry 5', [...lines, flipped, ''].join('\n'))).rejects.toThrow(
    /signature of the checkpoint/,
  );
});

test('a checkpoint may have cosignatures and extension lines', () => {
  const note = 'a/b\n3\nAAAA\nextension\n\n— a/b AAAAAAA=\n— witness/x BBBBBBB=\n';
  expect(parseCheckpoint(note)).toMatchObject({ origin: 'a/b', size: 3, text: 'a/b\n3\nAAAA\nextension\n' });
  expect(parseCheckpoint(note).signatures.map((s) => s.name)).toEqual(['a/b', 'witness/x']);
});
